-- SPDX-License-Identifier: Apache-2.0
--
-- The dual loop as a drawing: an outer loop that trains a start on many tasks, and an inner one that adapts it to the tasks
-- at hand, both through the same sampler and evaluator.
return [[
<svg xmlns="http://www.w3.org/2000/svg" width="720" height="300" viewBox="0 0 720 300" font-family="sans-serif" font-size="13">
<title>Dual loop: training tasks make a start, test tasks adapt it</title>
<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="#333"/></marker></defs>
<g fill="none" stroke-width="1.5">
<rect x="10" y="30" width="340" height="255" rx="8" stroke="#0072b2"/>
<rect x="370" y="30" width="340" height="255" rx="8" stroke="#d55e00"/>
</g>
<g fill="#fff" stroke="#333">
<rect x="30" y="60" width="130" height="44"/><rect x="200" y="60" width="130" height="44"/>
<rect x="200" y="150" width="130" height="44"/><rect x="30" y="150" width="130" height="44"/>
<rect x="390" y="60" width="130" height="44"/><rect x="560" y="60" width="130" height="44"/>
<rect x="560" y="150" width="130" height="44"/><rect x="390" y="150" width="130" height="44"/>
<rect x="390" y="226" width="300" height="40"/><rect x="30" y="226" width="300" height="40"/>
</g>
<g stroke="#333" marker-end="url(#arrow)" fill="none">
<path d="M160 82 H198"/><path d="M265 104 V148"/><path d="M200 172 H162"/><path d="M95 150 V106"/>
<path d="M520 82 H558"/><path d="M625 104 V148"/><path d="M560 172 H522"/><path d="M455 150 V106"/>
<path d="M95 194 V224"/><path d="M455 194 V224"/><path d="M330 246 H360 V82 H388"/>
</g>
<g text-anchor="middle" fill="#111">
<text x="180" y="20" fill="#0072b2">outer loop: training tasks (RLVR)</text><text x="540" y="20" fill="#d55e00">inner loop: test tasks (adaptation)</text>
<text x="95" y="87">policy</text><text x="265" y="79">K kernels</text><text x="265" y="95">per task</text>
<text x="265" y="169">evaluator</text><text x="265" y="185">correct? how fast?</text><text x="95" y="177">reward, update</text>
<text x="455" y="87">policy, step s</text><text x="625" y="79">K kernels</text><text x="625" y="95">per task</text>
<text x="625" y="169">evaluator</text><text x="625" y="185">correct? how fast?</text><text x="455" y="177">reward, update</text>
<text x="180" y="251">checkpoint: the start of everything</text><text x="540" y="251">best step (BoA), selected kernels</text>
</g>
</svg>
]]
