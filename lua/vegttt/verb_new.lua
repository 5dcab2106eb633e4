-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt new experiment|rule|task NAME`: NAME.lua, a small file that works as it is, and NAME_test.lua, which shows that it
-- does, in about a second and without a model. Both are meant to be changed.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local verb = require "vegttt.verb_common"

local new = {}

local experiment = [==[
-- What do I ask, and what would answer it?
--
--   vegttt NAME.lua --help        its parameters
--   vegttt NAME.lua --dry-run     what it would do, and for how long
--   vegttt test NAME_test.lua     tries it without a model
local vt = require "vegttt"

return vt.experiment {
  name = "NAME",
  doc = "Sample each task, judge the samples, count those that are faster for sure.",
  -- Every script that samples has these (model, tasks, temperature, seed, …); what stands here is added or changed.
  params = vt.task_params { k = { 8, "samples per task", min = 1 } },

  plan = function(p)
    local tasks = vt.tasks(p)
    return { tasks = tasks, samples = #tasks * p.k, evaluations = #tasks * p.k }
  end,

  main = function(run, p)
    local weights = vt.policy(p.model):start()
    local groups = vt.draw(weights, vt.tasks(p), p) -- a group of judged samples per task

    local t = run:table("tasks", { "task", "name", "n", "correct", "fast_1", "fast_1_sure" })
    for _, row in ipairs(vt.stats.by_task(groups)) do
      t:row(row.task, row.name, row.n, row.correct, row.fast_1, row.fast_1_sure)
    end
    run:plot("tasks", { kind = "bar", data = t, x = "name", y = { "fast_1", "fast_1_sure" }, y_label = "share of samples" })
    run:statistics("samples", groups)

    -- The run's result: what `vegttt ls` shows, sweeps collect and `vegttt compare` compares.
    return { sample_fast_1_sure = vt.stats.fast_sure(groups, 1), sample_correct = vt.stats.rate(groups, "correct") }
  end,
}
]==]

local experiment_test = [==[
-- vegttt test NAME_test.lua
--
-- fake.run: the experiment on a model that gives these answers (what stands between the function's braces) with these
-- probabilities, judged by the function below. Nothing is compiled, and no time passes but what verdicts say they take.
local function run(params)
  return fake.run("NAME.lua", params, {
    answers = { { "  /* fast */", 0.5 }, { "  /* slow */", 0.25 }, { "  /* wrong */", 0.25 } },
    verdict = function(_, code) return code:find "fast" and 2.0 or code:find "slow" and 0.5 or 0 end,
  })
end

describe("NAME", function()
  it("counts the fast ones among all that it drew", function()
    local r = run { tasks = "28", k = 40 }
    local n_fast, n_correct = 0, 0
    for _, sample in ipairs(r.samples) do
      if sample.result.speedup > 1 then n_fast = n_fast + 1 end
      if sample.result.correct then n_correct = n_correct + 1 end
    end
    expect.truthy(n_fast > 8 and n_fast < 32, "about half of 40")
    expect.near(r.result.sample_fast_1_sure.value, n_fast / 40)
    expect.near(r.result.sample_correct.value, n_correct / 40)
    expect.equal(r.tables.tasks[1].n, 40)
  end)

  it("draws no more than it was asked for", function()
    expect.equal(run({ tasks = "28,32", k = 3 }).meter.charged.rollouts, 6)
  end)
end)
]==]

local rule = [==[
-- A selection rule: which of a task's correct samples to keep, without knowing how fast they are.
--
--   vegttt watch NAME.lua --on-save                                     again at every save, on the samples of the latest run
--   vegttt experiments/selection.lua --rules NAME.lua,random --a NAME.lua --b random --from latest      as a run, with tests
--   vegttt test NAME_test.lua                                           tries it without a model
--
-- A candidate has text, code, n_tokens, logprob, logprob_mean, logprob_code, logprobs, seed, i. Its speedup is a secret;
-- candidate:measure() gives one timing, and is billed.
local vt = require "vegttt"

return {
  name = "NAME",
  -- candidates: at least one; p: the rule's own parameters; rng: a stream of random numbers of its own.
  pick = function(candidates, p, rng)
    return vt.min_by(candidates, "n_tokens") -- the shortest
  end,
}
]==]

local rule_test = [==[
-- vegttt test NAME_test.lua
--
-- fake.pick: the place of the candidate that the rule picks. What is not said of a candidate is made up.
local rule = dofile "NAME.lua"

describe("NAME", function()
  it("keeps the shortest, however likely or fast another is", function()
    expect.equal(fake.pick(rule, { { n_tokens = 90, speedup = 9 }, { n_tokens = 30, speedup = 1 }, { n_tokens = 60, logprob = -1 } }), 2)
  end)

  it("sees correct samples only", function()
    expect.equal(fake.pick(rule, { { n_tokens = 90 }, { n_tokens = 30, correct = false } }), 1)
  end)
end)
]==]

local task = [==[
-- A task: what a C function computes, on which sizes and inputs it is judged, and the plain text that a candidate must
-- beat. `vegttt task check NAME.lua` says whether it is sound; `vegttt eval --task NAME.lua FILE.c` judges a candidate.
return {
  id = ID, name = "NAME", level = 1, family = "rows", -- the name is the C function's; ids of your own begin at 10000
  title = "NAME",
  -- Positive integers. cpu: where candidates are timed; the baseline should take 0.03 to 2 ms and the arrays at most
  -- 1 MB together. hidden: a small, ragged shape on which candidates are only checked, so that they cannot rely on
  -- round numbers.
  sizes = {
    cpu = { n = 307, m = 293 },
    hidden = { n = 7, m = 53 },
  },
  size_order = { "n", "m" },
  -- The arguments, in order: arrays, then scalars, then sizes. role: in, weight, out or state (read and written);
  -- dtype: f32, i32, i64 or u8. dist: which inputs, the usual ones first; the others expose wrong answers that the
  -- usual ones hide (a constant row, one large element, values near zero).
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "needle", "tiny" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  -- What may differ: 0 and 0 for arithmetic (the bound then follows from float rounding alone); about 3e-5 and 1e-7
  -- when a fast exp or tanh is an honest answer.
  rtol = 0, atol = 0,
  -- What any correct answer must do at least: bytes read and written, arithmetic operations.
  bytes = "8 * n * m", flops = "3 * n * m",
  -- The baseline: plain C, what stands between the braces. The model sees it; its text is also the truth.
  body = [[
  for (int i = 0; i < n; i++) {
    float sum = 0.0f;
    for (int j = 0; j < m; j++)
      sum += x[i * m + j] * x[i * m + j];
    for (int j = 0; j < m; j++)
      y[i * m + j] = x[i * m + j] / sqrtf(sum / (float)m + 1e-6f);
  }]],
  -- A fast version you know of (optional): speedups are also given against it.
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *row = x + i * m;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < m; j++)
      sum += row[j] * row[j];
    float scale = 1.0f / sqrtf(sum / (float)m + 1e-6f);
    #pragma omp simd
    for (int j = 0; j < m; j++)
      y[i * m + j] = row[j] * scale;
  }]],
}
]==]

local task_test = [==[
-- vegttt test NAME_test.lua
--
-- judge: the real evaluator, as `vegttt eval --task NAME.lua FILE.c`. `vegttt task check NAME.lua` asks much more.
local task = dofile "NAME.lua"

describe("NAME", function()
  it("calls its own text correct, and a copy", function()
    local v = judge(task, task.body)
    expect.equal(v.status, "correct_slow")
    expect.truthy(v.is_copy, "is_copy")
  end)

  it("calls its tuned version correct", function()
    expect.equal(judge(task, task.tuned).correct, true)
  end)

  it("refuses a body that does nothing", function()
    expect.equal(judge(task, "").correct, false)
  end)
end)
]==]

local kinds = {
  experiment = { experiment, experiment_test, "vegttt NAME.lua --dry-run", "[%w][%w_.-]*", "letters, digits, _, - and ." },
  rule = { rule, rule_test, "vegttt watch NAME.lua --on-save", "[%w][%w_.-]*", "letters, digits, _, - and ." },
  task = { task, task_test, "vegttt task check NAME.lua", "[a-z][a-z0-9_]*", "lower case letters, digits and _, since a C function is called so" },
}
local names = { "experiment", "rule", "task" }

local function run(_, words)
  local kind, name = words[1], words[2]
  if not kind or not kinds[kind] then
    errors.usage("new writes an experiment, a rule or a task%s: `vegttt new rule NAME`", kind and (", not '%s'%s"):format(kind, errors.hint(kind, names))
      or "")
  end
  if not name then errors.usage("new %s takes a name", kind) end
  local body, tests, next_step, pattern, allowed = table.unpack(kinds[kind])
  if not name:find("^" .. pattern .. "$") or name == "latest" or #name > 60 then errors.usage("'%s' cannot be a name here: %s, at most 60", name, allowed) end
  for _, file in ipairs { name .. ".lua", name .. "_test.lua" } do
    if core.exists(file) then errors.usage("%s exists already; remove it or choose another name", file) end
  end
  local id = 10000 + tonumber(core.sha256(name):sub(1, 6), 16) % 80000
  local function filled(text) return (text:gsub("NAME", name):gsub("%f[%w]ID%f[%W]", tostring(id))) end
  core.write(name .. ".lua", filled(body))
  core.write(name .. "_test.lua", filled(tests))
  verb.say("%s.lua and %s_test.lua written; next: vegttt test %s_test.lua, %s", name, name, name, filled(next_step))
  return 0
end

function new.main(argv)
  return verb.main(argv, { run = run, max_words = 2, help = [[
vegttt new experiment NAME   NAME.lua: samples, judges, makes a table, a plot and a result
vegttt new rule NAME         NAME.lua: which sample to keep
vegttt new task NAME         NAME.lua: a C function to be made faster, with its sizes, inputs and bound
  and NAME_test.lua beside it, which `vegttt test` runs: each works as it is and is made to be changed]] })
end

return new
