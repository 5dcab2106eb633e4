-- SPDX-License-Identifier: Apache-2.0
--
-- The longer texts of `vegttt help TOPIC`: { topic, what it is about, text }. Blocks of Lua in them are run by
-- tests/readme/commands.sh, as those of README.md are.
return {
  { "evidence", "what correct, faster, sure and best mean here, and why they may be believed", [==[
- **Correct** means tested equal within a stated error bound: the truth is the baseline's own text
  evaluated in double with its rounding errors carried along, on secret inputs of several
  distributions, some of them contaminated with a few exceptions; every timed output is checked.
  Sizes that decide are drawn in secret from the task's `range` and `where` (tiny, prime, round,
  unequal, large), arrays begin at any element and end at pages that are not there, and one
  process makes many calls. Where a formula stays finite, numbers far from zero are met, too, all
  on one side of it. Kernels that are reported have seen all residues of each size modulo 64 in
  640 calls and more, and thousands of calls of one process; a verdict says how likely a kernel
  wrong in one of N calls would have been missed. Sizes beyond the task's `range`, and beyond what
  costs twice the benchmark's, are no part of it. A call leaves nothing but its outputs: no
  rounding mode, no other state of the processor, no memory that grows with every call. Other
  roundings of a constant and Winograd's forms of a convolution are within the bound; half
  precision and Strassen are not.
- **Faster** compares the fastest interleaved runs on each input set with those of the baseline
  that the model saw, or takes the middle of three estimates where the fastest do not repeat, with
  an interval (`engine/eval/estimate.c`). `fast_1` counts as the papers do. `fast_1_sure`, which
  headlines and choices use, needs settled times, the whole interval above 1 at three or four
  placements of code and stack and on contaminated inputs, and is never a copy.
- **Statistics** (`vt.stats`): the task is the unit. Intervals are symmetric bootstrap-t over
  tasks and are not claimed below eight tasks; every result says n, distinct codes, ties, zeros,
  method and the smallest p that such data can give. `tests/unit/stats_calibration.c` holds tests
  and intervals to 3 to 7 % on null data sets full of copies.
- **Best** is said only of a kernel that was judged twice: the search's verdicts choose which ones
  are tried, in a fresh process, on new inputs, with the full protocol; the first that is faster
  for sure again is reported, at that second speedup. The `kernels` table of a run, `vegttt
  export` and `vegttt optimise` show nothing else.
- **Candidates are hostile** until shown otherwise: they run in a process that holds neither the
  truth, nor the clock, nor the verdict, behind namespaces, landlock, seccomp and limits. `vegttt
  doctor` names the layers that hold here. What the compiler made of them meets no loader: a
  linker that knows code, constants, data and a list of functions of libc and libm
  (`engine/eval/c/worker/slots.h`) makes bytes of it, which only the process of one call maps.
- **The same numerics everywhere**: on the CPU, the log-probability that `sample` returns equals
  the one that `score` and `update` compute, bit for bit, in any batch.
]==] },

  { "kernels", "judging and optimising C and CUDA code", [==[
`vegttt eval --task T FILE.c` judges a kernel: T is an id or a name of `vegttt task ls`, or a task
file of your own (`vegttt new task NAME` writes one, `vegttt task check` says whether it is sound,
`vegttt task show` what a model sees).

`vegttt optimise FILE.c --function f` looks for a faster version of one of your own C functions:
the file is compiled as it is; what the test's inputs do not reach is named; the result holds
under your own `--cflags`.

`vegttt eval --serve` judges JSON lines from any program, code or whole answers of a model;
`tests/cli/eval_client.py` is a client in thirty lines of Python. Of an answer (1 MiB at most, 64
KiB without its thoughts) the last block that defines the function counts, unless it is switched
off by an `#if` or says it is another language; its helpers come from itself, else from the last
block before it, else from the first behind it, and a later version takes a helper's place only
where the answer says that it corrects it and the signature is the same.

On a machine with an NVIDIA GPU a `.cu` file is judged there (`--tier cuda`): device code with
comment lines that say what is launched, `// launch NAME grid(ceil_div(n, 256)) block(256) args(x,
y, n)` and `// scratch NAME bytes(4 * n)`. NVRTC compiles it in a jail; inputs, truth and
comparison stay on the GPU. The evaluator uses every GPU, or those of `VEGTTT_EVAL_DEVICES`.
`vegttt baseline` measures what PyTorch eager takes there, and verdicts then say what a kernel
gains over it, too; an H200's table comes along.

KernelBench's own problem files are tasks as well, wherever a Python has torch (`VEGTTT_PYTHON`,
else `python3`; on a GPU if it sees one): `--tasks level1/19_ReLU.py` in an experiment, or
`vegttt eval --kernelbench DIR --task 19 FILE.py`. An answer is the body of `forward` or a file
with `ModelNew`. It runs in a walled-in process of its own; the clock, the inputs until it
starts, and the comparison with the model in double precision are elsewhere.
]==] },

  { "models", "models: local, served, trained remotely, on GPUs", [==[
`--model` is `default`, MODEL, MODEL+ADAPTER, a folder as Hugging Face has them, or a `.gguf`.
`vegttt model pull NAME` fetches one that is known by name, `vegttt model info` says what a file
holds, `vegttt model check FOLDER` compares it with transformers. The default is
SmolLM2-135M-Instruct with the adapter `fast` (experiments/adapters/README.md says how it was
trained and what it has seen).

A model that somebody serves is one flag away: `--model openai:http://127.0.0.1:8000/v1#NAME`
samples from vLLM, SGLang, llama.cpp and whatever else speaks the completions API, with
`OPENAI_API_KEY` as its key where it wants one. What the server can is found out by asking it a
few tokens (several samples at a time, seeds, raw log-probabilities, scores); what it cannot is
refused by name, updates always. With the model's tokenizer (`#NAME?tokenizer=PATH`, a folder,
`tokenizer.json` or `.gguf`) it works in token ids where the server takes and gives them, else in
text, and then `--chat` names the chat format. `--trace-http FILE` writes down every exchange; a
key is in no file, error or record, whatever a server makes of it. Samples are named by what the
server was found to be, so another server under the same address answers for no other; one that is
replaced while a run uses it is noticed.

Models of a hub have names, too: `vegttt model pull hf:ORGANISATION/NAME` fetches a folder
(`hf:ORGANISATION/NAME/FILE.gguf` one file) at its newest commit, goes on where a broken one
stopped, and compares sizes and SHA-256; `--model hf:…` is it from then on, without a network.
`HF_TOKEN` is the key, `HF_ENDPOINT` another hub's address.

`--model tinker:MODEL?tokenizer=PATH` trains, too: LoRA adapters at the Tinker service
(`TINKER_API_KEY`) or at a server of one's own that speaks its API (`TINKER_BASE_URL`), in
protobuf or the older JSON, whichever it reads. The weights stay there under names that live for
two weeks; every update is saved with its optimiser as it is made, so a run that was killed goes
on from the last one that the service acknowledged, and sessions are ended when the run is,
because what stays open is billed. `--prices FILE` counts what that costs in dollars for a million
tokens, `{"tinker:MODEL": {"prefill": 0.18, "cached": 0.04, "sampled": 0.44, "trained": 0.52}}`,
context suffix and all, into `spending.jsonl` of the run; `--max-spend USD` stops before a request
that could pass the limit, over all attempts, and refuses a served model that has no price.

On a machine with an NVIDIA GPU `VEGTTT_BACKEND=cuda` runs the model there, and
`VEGTTT_DEVICES=0,1` one model on several GPUs: samples are split by prompt, a training batch into
shards whose gradients are summed in one order, so that one GPU that is named and eight give the
same weights, bit for bit. `vegttt doctor` says whether it works.
]==] },

  { "queue", "many machines: workers of a queue", [==[
`vegttt FILE.lua --queue redis://HOST[:PORT]/NAME` has its candidates judged by workers, wherever
they are: `vegttt worker --queue redis://HOST[:PORT]/NAME` is one, on the cores that it may use.
Between them stands a Redis or Valkey server (Debian: redis-server). `vegttt farm local start`
starts several workers on this machine, each with cores of its own, `vegttt farm slurm start` a
Slurm job array of them; `farm status` and `farm stop` look after what was started here, and after
nothing else. Scripts do not change.

A worker may be killed at any instant: what it held is judged by another one once its lease is
over (`--lease`, 30 s). An experiment that is killed finds the answers when it goes on. A job may
be judged twice and counts once. Workers whose evaluator, compiler or machine class differ get
jobs of their own, because their times cannot be compared; a queue that has had several classes
wants to be told which (`?class=CLASS`). Workers trust nothing that a queue holds: task and
candidate run in the jail only.

rediss:// is TLS (`?ca=FILE` for an authority of your own), `?password=FILE` the first line of a
file of mode 600, USER@ a user of the server. Bind the server to the cluster's own network.
]==] },

  { "papers", "the papers' commands and what they are here", [==[
The two papers are Jarrod Barnes, "When Does Test-Time Training Saturate?" (below: A) and
"Surprisal-Guided Selection: Compute-Optimal Test-Time Strategies for Execution-Grounded Code
Generation" (arXiv:2602.07670; below: B), both with the code of
github.com/jbarnes850/test-time-training. `--preset paper-a` and `--preset paper-b` are what they
state (K, steps, temperature, learning rate, reward); what you give besides wins. Their setting is
gpt-oss-120b on an NVIDIA GPU; `--model tinker:openai/gpt-oss-120b?tokenizer=PATH` samples and
trains it, the default is a model of 135M parameters and C on a CPU, which is another setting.

  the original's command                                    here
  scripts.best_of_n --subset eval --k 64 --max_tasks 20     vegttt experiments/best_of_n.lua --tasks '' --preset paper-b
  scripts.batch_ttt --subset eval --k 32 --steps 5          vegttt experiments/boa.lua --preset paper-b
  scripts.sdpo_train --k 32 --steps 1 --prompt_only         vegttt experiments/sdpo.lua --preset paper-b --context prompt
  scripts.sdpo_train --k 32 --steps 1                       vegttt experiments/sdpo.lua --preset paper-b --context feedback
  compute_selection_statistics.py                           vegttt experiments/selection.lua --from 'runs/best_of_n/*'
  (none: the outer loop's training)                         vegttt experiments/rlvr.lua --preset paper-b
  (none: probes, learning rates, isolated, transfer)        vegttt experiments/nll_probe.lua, lr_sweep.lua, isolated.lua, transfer.lua
  (none: tables and figures)                                vegttt experiments/paper.lua --from 'runs/*'

`paper.lua` puts every table and figure of the papers beside what it finds in the runs that it is
given; an item without runs is `not run`. `--seed 42,43,44` are the three seeds. A split (`--split
splits/l1_seed43.json`) is not a seed: it has other tasks.
]==] },

  { "runs", "what resumes, what is the same run, what ends one", [==[
Give the same command again: it resumes, or prints the finished result. Kill it whenever you like.

`--dry-run` opens the model and carries main out up to where it would sample, score, train or
judge: whatever a run refuses before it spends anything is refused in the same words, else the plan
is printed. Nothing is kept.

Several values for one parameter are a sweep, a run for each combination and a table of them all:
numbers, `true,false`, and what has choices (`--eval fast,full`); free text is one text, commas
and all. Each cell begins in a Lua state of its own, so it is what it would be alone: no module,
upvalue or library remembers the script that sweeps, or another cell. An experiment that a script
makes while it runs takes along what it closes over, as it is when the sweep begins; models,
tables and other objects of the run it cannot.

The same means everything that could change the result: the script and the modules and experiments
that it loads, task and split files, parameters, model and adapter, recorded rollouts, files,
environment variables and standard input (whole, up to 64 MiB) that the script reads, compiler,
machine class, and vegttt itself. Change one and a new run begins beside the old one, says what
changed, and pays only for what is new; the old result stays and comes back when the change is
undone. What a script gets from a command (`os.execute`, `io.popen`), the clock (`os.time`,
`os.date` without a time, `os.clock`), a device, a pipe, `/proc` or an address (`tostring` of a
table) cannot be compared: such a run goes on where it was cut off, but once it is finished the
same command runs it again and says why. Another build of the engine is another input; samples,
builds and scores still come from the store. A time that another run of the experiment measured is
marked `timed_in`; `--replicate N` measures anew.

`--max-wall S` and Ctrl-C end a script that waits, computes, or sits in one call of C (a command,
a pathological pattern): commands it started are killed, and where nothing else helps the process
ends. What was recorded stays; the printed command continues it. What commands leave in the
background ends with the script, and a command whose file was never closed is killed then. On a
full disk the sentence says so: make room and give the same command again.

Samples, scores and updates are the same on every machine of the same instruction set, so the same
seed gives the same run as long as no clock has a say. With dense rewards it has: measured
speedups become advantages, and two runs of one seed part at the first update. `--reward-from RUN`
takes the verdicts of a recorded run instead; the trajectory then repeats bit for bit.

Every run is a folder below `runs/` that other programs can read: `vegttt help run-directory`
describes each file and each field of it, and `run.json` names the commit and the sources of the
engine that made it. `experiments/read_runs.py` is one file for notebooks:
`read_runs.load("runs/boa/…").samples()` is a pandas frame. `vegttt ls`, `show`, `plot`, `report`,
`export` and `compare` read runs; `import` makes one of another program's rollouts, `rejudge`
judges its samples again as a run beside it.

`compare` refuses runs that were not measured alike (protocol, machine class, evaluator, model,
prompts) unless `--force` says so in its output. `gc` takes what no run needs: stored results that
no run here names and nobody used for a week, and what only training needs of runs that are
finished. A default run takes 60 MB: the exact parameters of its three steps.

Scripts that only read samples (`selection`, `presort`, `variance`, `protocols`, `shapes`) take
recorded runs with `--from 'runs/best_of_n/*'` and then need no model. `--help` of each says how
long its defaults took. Tables show shares of samples also without copies and per distinct code,
and `tables/statistics.md` of a run gives of each number n, distinct values, ties, zeros, method
and the smallest p that such data could have given. `sdpo.lua --teacher ema --loss topk` is SDPO
as its authors ship it, `boa.lua --kl 0.05 --anchor ema` the control for it; `--entropy 0.01` is a
bonus that every script that adapts takes, and `--reward sparse --advantage none` makes an update
rejection-sampling fine-tuning.
]==] },

  { "scripts", "writing an experiment: the four primitives, a rule, self-distillation", [==[
An experiment is one Lua file that returns `vt.experiment { … }`; `vegttt new experiment NAME`
writes one to start from. Everything that a script can do stands on four primitives, and `vegttt
help lua NAME` describes each function (lua/meta has the same for editors):

  policy:start():sample(prompt, { n = 8 })     completions with tokens and log-probabilities      (or vt.draw: sampled and judged)
  weights:score(prompt, tokens)                the log-probability of each given token
  vt.eval.all(groups)                          .result of each sample: correct? how much faster? why?
  policy:update(vt.batch(groups), { lr = … })  the next weights, from each sample's .advantage

These calls wait, and others go on meanwhile; what they gave is recorded, so the same command goes
on where it was cut off.

A selection rule is a function of candidates, in a file of its own (`vegttt new rule NAME`,
`vegttt watch NAME.lua --on-save`), or in place:

```lua
local vt = require "vegttt"

local rule = { name = "two_shortest", pick = function(candidates)
  return vt.max_by(vt.lowest(candidates, "n_tokens", 2), function(c) return c:measure() end) -- times two, keeps the faster
end }

return vt.experiment {
  name = "rule", doc = "A rule of my own against the first sample and the best there is.",
  params = vt.task_params { k = { 8, "samples per task", min = 1 } },
  main = function(run, p)
    local groups = vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)
    local t = run:table("rules", { "rule", "speedup", "fast_1_sure", "lo", "hi", "measured" })
    for _, r in ipairs { rule, vt.select.rules.first, vt.select.rules.oracle } do
      local picks = vt.select.apply(r, groups)
      local sure = picks:fast_sure(1)
      t:row(r.name, picks:mean "speedup", sure.value, sure.lo, sure.hi, picks.cost.measures)
    end
  end,
}
```

Learning is an advantage for every sample, one number or one per token. Self-distillation: the
teacher is the model itself, told what happened when the answer ran, and a token's advantage is
how much likelier the teacher finds it:

```lua
local vt = require "vegttt"

return vt.experiment {
  name = "my_sdpo", doc = "The student learns what it would have said had it known the feedback.",
  params = vt.adapt_params { k = { 8, "samples per task and step", min = 2 }, steps = { 2, "updates" } },
  main = function(run, p)
    local policy, tasks = vt.policy(p.model):need("update", "score"), vt.tasks(p)
    local t = run:table("steps", { "step", "correct", "fast_1_sure", "mean_advantage" })
    for step = 0, p.steps do
      local weights, told = policy:snapshot(), {}
      local groups = vt.draw(weights, tasks, p, { draw = "step" .. step, place = step })
      for _, g in ipairs(groups) do
        for _, s in ipairs(g) do
          local question = vt.context(g.prompt):add("What happened", s.result:feedback { max_chars = 400 })
            :ask "Solve the original question correctly."
          s.advantage = weights:score(question, s.tokens, { bill = "teacher" }) - weights:score(g.prompt, s.tokens)
          told[#told + 1] = s.advantage:mean()
        end
      end
      t:row(step, vt.stats.rate(groups, "correct").value, vt.stats.fast_sure(groups, 1).value, vt.stats.mean(told))
      if step < p.steps then policy:update(vt.batch(groups), { lr = p.lr }) end
    end
  end,
}
```

Rewards and advantages by name, nulls and the pull to the start weights come with `vt.learner(run,
p)`; experiments/boa.lua uses it. A control is one flag then: `--null frozen` draws and never
updates, `--null shuffled` deals the advantages out anew within a task.
]==] },

  { "tests", "tests of one's own scripts", [==[
`vegttt test FILE` runs tests of your own scripts, in milliseconds, without a model; `vegttt new`
writes one beside each file that it makes.

  it("name", function() … end), describe("what", function() … end)
  expect.equal(a, b)  .near(a, b, tolerance)  .same(a, b) as JSON  .truthy(v)  .contains(text, part)  .raises(part, fn, …)

  fake.run(FILE, params, { answers =, verdict = })   an experiment on a model that says what it is told (`answers`: { body, probability }
      each, at temperature 1; it can be scored and trained), judged by verdict(task's name, code, protocol), which returns a speedup, 0 for
      a wrong answer, a status ("compile_error"), or fields of a verdict with `seconds`, how long it takes. The clock passes only where the
      script waits. Gives result, tables (rows by column), samples (with .result), meter, seconds, said (what was printed).
  fake.pick(rule, candidates)    the place of the candidate that a rule picks; each is a table of the fields that matter
  judge(task, code)              the real evaluator's verdict

A test that fails says where; the exit code is 1 then.
]==] },
}
