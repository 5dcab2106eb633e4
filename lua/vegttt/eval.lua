-- SPDX-License-Identifier: Apache-2.0
--
-- The evaluator for scripts: code and task in, verdict out.
--
-- A verdict's key is the evaluator's own (core.eval_key): task, code, protocol and everything about the evaluator that
-- could change it, so a recorded verdict answers again and two samples of equal code share one evaluation. A verdict
-- that another version of the evaluator or another machine recorded has another key: it stays in the journal, answers
-- nothing, and the run says that it judges again. Each evaluation asked for is charged; only what ran is spent. A bad
-- candidate is a verdict, never an error.
--
-- A second verdict (vt.eval.best) is recorded beside the first, names it in `confirms`, and has its own key.
local best = require "vegttt.best"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local index = require "vegttt.rollout_index"
local inputs = require "vegttt.inputs"
local list = require "vegttt.list"
local replay = require "vegttt.replay"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local eval = {}

-- What a verdict may have: the fields of every record, and those that some kinds of verdict have.
local verdict_fields = { "status", "correct", "speedup", "speedup_measured", "speedup_lo", "speedup_hi", "speedup_tuned",
  "is_copy", "flags", "protocol", "tier", "machine", "cached", "key", "run", "task", "task_name", "task_digest", "level",
  "code_sha", "source", "confirms", "scale", "stage", "stages", "evaluator", "compiler", "build", "error", "failure",
  "feedback_text", "worst", "n_checks", "n_check_processes", "n_compared", "longest_process", "missed", "n_repeated",
  "nondeterminism", "sure", "unsure", "unit",
  "placed", "runtime_us", "ref_us", "baseline_us", "roofline", "trials", "ref_trials",
  "ref_first", "trial_sets", "statistic", "n_remeasured", "floor_us", "cores", "corun", "cache_state", "clock", "jail",
  "call", "warm", "check_ms", "time_ms", "v", "t", "t_mono", "timed_in" }
local Verdict = {}
local verdict_class = closed.class("vt.Verdict", "a verdict", verdict_fields, Verdict)
function verdict_class:__tostring()
  return self.correct and ("%s %.2fx"):format(self.status, self.speedup) or self.status
end

inputs.declare("evaluator", "the evaluator (%s)", function()
  local who = session.evaluator_identity()
  return who.version .. " on " .. who.machine
end)

---What happened when the answer ran, for people and for a teacher's context.
function Verdict:feedback(o)
  o = errors.options("verdict:feedback", o, { max_chars = "integer" })
  local text = self.feedback_text or self.status
  local max = o.max_chars or 2000
  return #text > max and text:sub(1, max - 1) .. "…" or text
end

local tiers = core.eval_tiers() -- the best one first
local eval_options = { protocol = { "fast", "full" }, tier = tiers, fresh = "boolean" }

local function resolve_options(op, o)
  o = errors.options(op, o, eval_options)
  return { protocol = o.protocol or "fast", tier = o.tier, fresh = o.fresh or false }
end


-- What the evaluator is asked, as core.eval_key and core.eval_submit take it.
local function question(run, o)
  return { protocol = o.protocol, tier = o.tier, replicate = run.replicate, confirms = o.confirms,
    fresh = o.fresh or session.flags.fresh or o.confirms ~= nil }
end

-- Once in a run: verdicts in its record that this evaluator would not give are not mixed with those it gives.
local function note_others(run, info)
  if run.has_noted_others then return end
  run.has_noted_others = true
  local n = 0
  for _, line in pairs(run.record.evals) do
    if line.evaluator and (line.evaluator ~= info.version or line.machine ~= info.machine) then n = n + 1 end
  end
  if n > 0 then
    core.err(("vegttt: %d recorded verdicts are of another evaluator or machine than %s on %s; what they judged is "
      .. "judged again\n"):format(n, info.version, info.machine))
  end
end

local function key_of(run, task, code, o)
  local handle, info = session.evaluator()
  note_others(run, info)
  inputs.note("evaluator", "verdicts", info.version .. " on " .. info.machine)
  return core.eval_key(handle, task.handle, code, question(run, o))
end

local function verdict_of(line)
  local v = {}
  for k, x in pairs(line) do v[k] = x end
  v.feedback_text, v.feedback = line.feedback, nil
  return setmetatable(v, verdict_class)
end

-- A verdict that was read back by an index has the rest of its line when somebody asks for it.
local in_memory = verdict_class.__index
function verdict_class.__index(v, k)
  local from = rawget(v, "recorded")
  if not from or Verdict[k] then return in_memory(v, k) end
  rawset(v, "recorded", nil)
  local line = index.line(from.dir, "evals.jsonl", from.at, v.key)
  line.feedback_text, line.feedback = line.feedback, nil
  for name, x in pairs(line) do
    if rawget(v, name) == nil then rawset(v, name, x) end
  end
  return v[k]
end

---The verdict of an index's fields, of the run in `dir`.
function eval.of_index(fields, dir)
  fields.recorded, fields.at = { dir = dir, at = fields.at }, nil
  return setmetatable(fields, verdict_class)
end

local function malformed(task, o)
  return { task_name = task.name, status = core.malformed, correct = false, is_copy = false, cached = false, speedup = 0,
    speedup_measured = 0, speedup_lo = 0, speedup_hi = 0, flags = core.array {}, protocol = o.protocol, tier = o.tier, task = task.id,
    feedback = "The answer holds no complete code: no block or function that ends." }
end

---The verdict that a recorded line holds; of a sample without one it says that there was no code.
function eval.of_record(line, task)
  return verdict_of(line or malformed(task, { protocol = "fast", tier = tiers[1] }))
end

-- The texts of a verdict go to blobs/, the record keeps their hashes.
local function keep_texts(run, task, code, line)
  local build = line.build
  if build and build.log_text then build.log, build.log_text = core.run_blob(run.handle, build.log_text), nil end
  local unit = core.assemble(task.handle, code)
  line.source = unit and core.run_blob(run.handle, unit)
end

-- One evals.jsonl line: the evaluator's record and the fields that every version has.
local function line_of(run, task, code, key, o, json, fields)
  local line = core.json_decode(json, "the evaluator's record")
  keep_texts(run, task, code, line)
  for k, v in pairs(fields) do line[k] = v end
  local _, info = session.evaluator()
  line.key, line.run, line.task, line.level, line.code_sha = key, run.id, task.id, task.level, core.sha256(code)
  line.protocol, line.tier, line.machine, line.confirms = o.protocol, o.tier, info.machine, o.confirms
  line.speedup_tuned = fields.speedup_tuned ~= 0 and fields.speedup_tuned or nil
  line.flags = line.flags or core.array {}
  return line
end

-- The future of a verdict that runs now, shared by everybody who asks for the same key.
local function submit(run, task, code, key, o)
  local handle = session.evaluator(o.confirms and "again")
  local op = core.eval_submit(handle, task.handle, code, question(run, o))
  run.progress:plan_evals(1)
  local future = sched.start(op, function(json, fields)
    local line = line_of(run, task, code, key, o, json, fields)
    run.record:put_eval(line)
    run.meter:spend { evaluations = 1 }
    run.progress:add_eval(line)
    return line
  end, function() run.evaluating[key] = nil end)
  run.evaluating[key] = future
  return future
end

-- A queued evaluation that an interrupt cancelled is no failure: whoever waits for it is parked.
local function await_line(future)
  local ok, line = pcall(sched.await, future, "vt.eval")
  if ok then return line end
  if errors.is(line) and line.code == "ECANCELLED" then sched.gate "vt.eval" end
  error(line, 0)
end

-- A verdict that another run has, the one to be replayed or one of the experiment: its texts are kept here too.
local function take_verdict(run, task, code, key, o)
  local line, dir = replay.verdict(task, code, key, o)
  if not line then line, dir = run.donors:verdict(key) end
  if not line then return nil end
  for _, sha in ipairs { line.source or false, line.build and line.build.log or false } do
    local path = sha and ("%s/blobs/%s/%s"):format(dir, sha:sub(1, 2), sha)
    if path and core.exists(path) then core.run_blob(run.handle, core.read(path)) end
  end
  line.run = run.id
  run.record:put_eval(line)
  return line
end

local function evaluate(run, task, code, o)
  o = { protocol = o.protocol, tier = o.tier or task.tier or tiers[1], fresh = o.fresh, confirms = o.confirms }
  run:keep_task(task)
  run:charge { evaluations = 1 }
  if not code then
    local line = malformed(task, o)
    run.progress:plan_evals(1)
    run.progress:add_eval(line, true)
    return verdict_of(line)
  end
  local key = key_of(run, task, code, o)
  if not run.answered[key] and replay.lacks(task, code, o) then run:count_not_replayed() end
  local line = not o.fresh and (run.record.evals[key] or take_verdict(run, task, code, key, o))
  if line then
    if not run.answered[key] and not line.timed_in then run.meter:spend { evaluations = 1 } end
    run.answered[key] = true
    run.progress:plan_evals(1)
    run.progress:add_eval(line, true)
    return verdict_of(line)
  end
  run.answered[key] = true
  local shared = not o.fresh and run.evaluating[key]
  if not shared then
    run:check_time "vt.eval"
    sched.gate "vt.eval"
    return verdict_of(await_line(submit(run, task, code, key, o)))
  end
  run.progress:plan_evals(1)
  line = await_line(shared)
  run.progress:add_eval(line, true)
  return verdict_of(line)
end

---vt.eval.one(task, code, o) -> verdict
function eval.one(task, code, o)
  sched.need "vt.eval.one"
  if type(task) ~= "table" or not task.handle then
    errors.misuse("vt.eval.one", "vt.eval.one needs a task, not a %s", type(task))
  end
  if code ~= nil and type(code) ~= "string" then
    errors.misuse("vt.eval.one", "vt.eval.one: code must be a text, not a %s", type(code))
  end
  return evaluate(session.run "vt.eval.one", task, code, resolve_options("vt.eval.one", o))
end

---vt.eval.all(group or groups, o): fills .result of every sample; returns its argument.
function eval.all(g, o)
  sched.need "vt.eval.all"
  o = resolve_options("vt.eval.all", o)
  local samples = groups.samples("vt.eval.all", g, "task")
  local run = session.run "vt.eval.all"
  sched.map(samples, function(s) s.result = evaluate(run, s.task, s.code, o) end)
  return g
end

local BestRow = closed.record_class("a row of vt.eval.best", { "task", "sample", "first", "verdict", "n_tried" })

---vt.eval.best(group or groups) -> a row per task: { task, sample, first, verdict, n_tried }. verdict is the second one
---of the best kernel that holds when judged again; it, sample and first are nil where none is faster for sure.
function eval.best(g)
  sched.need "vt.eval.best"
  local samples = groups.samples("vt.eval.best", g, "task")
  local run = session.run "vt.eval.best"
  for _, s in ipairs(samples) do
    if not s.result then
      errors.misuse("vt.eval.best", "vt.eval.best: a sample has no verdict; call vt.eval.all first")
    end
  end
  return sched.map(list.group_by(samples, function(s) return s.task.id end), function(of_task)
    local sample, verdict, n_tried = best.confirm(best.rank(of_task), function(s)
      return evaluate(run, s.task, s.code, { protocol = "full", tier = s.result.tier, confirms = s.result.key })
    end)
    return setmetatable({ task = of_task[1].task, sample = sample, first = sample and sample.result, verdict = verdict,
      n_tried = n_tried }, BestRow)
  end)
end

return eval
