-- SPDX-License-Identifier: Apache-2.0
--- A served model against the same model here: greedy answers up to the first near-tie, log-probabilities token by token.
local vt = require "vegttt"

return vt.experiment {
  name = "agree",
  doc = "Compare a served model with the same model on this machine.",
  params = vt.params {
    model = { "default", "the served model", type = "model" },
    here = { "smollm2-135m", "the same model on this machine", type = "model" },
    tasks = { "4,28", "problem ids", list = true },
    max_tokens = { 32, "of each answer", min = 1 },
  },
  main = function(run, p)
    local there, here = vt.policy(p.model), vt.policy(p.here)
    local n, sum, worst, n_same, n_apart, widest = 0, 0, 0, 0, 0, 0
    for _, task in ipairs(vt.tasks { ids = p.tasks }) do
      local prompt, o = task:prompt(), { n = 1, temperature = 0, max_tokens = p.max_tokens, stop = {} }
      local a, b = there:start():sample(prompt, o)[1], here:start():sample(prompt, o)[1]
      local ids = here:encode(a.text)
      local scores = here:start():score(prompt, ids)
      -- Tokens that the text does not give back one for one cannot be compared.
      if #ids == #a.logprobs or #ids + 1 == #a.logprobs then
        for t = 1, #ids do
          local d = math.abs(scores[t] - a.logprobs[t])
          n, sum, worst = n + 1, sum + d, math.max(worst, d)
        end
      end
      local at
      for t = 1, math.min(#ids, #b.tokens) do
        if ids[t] ~= b.tokens[t] then at = t break end
      end
      if at then -- here the other token must be nearly as likely
        n_apart = n_apart + 1
        widest = math.max(widest, b.logprobs[at] - scores[at])
      else
        n_same = n_same + 1
      end
    end
    print(("agree tokens %d mean %.6f max %.6f same %d apart %d widest %.6f"):format(n, n > 0 and sum / n or -1, worst, n_same,
      n_apart, widest))
    return { tokens = n, mean = n > 0 and sum / n or -1, max = worst, same = n_same, apart = n_apart, widest = widest }
  end,
}
