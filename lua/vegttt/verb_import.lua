-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt import FILE.jsonl --map …`: rollouts of another program as a run that vt.rollouts, selection, compare and paper
-- read. The whole file is read and held against the map before anything is written; fields that nothing takes are named.
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local foreign = require "vegttt.foreign"
local inputs = require "vegttt.inputs"
local rejudge = require "vegttt.verb_rejudge"
local session = require "vegttt.session"
local verb = require "vegttt.verb_common"

local import = {}

-- Samples, their verdicts and rewards, as the run's records.
local function put_rows(run, rows, task_of, source)
  local samples, numbers = {}, {}
  for i, row in ipairs(rows) do
    local task = task_of(row)
    local place = ("%s/%s/%s/%s"):format(task.id, row.step or 0, row.weights or "", row.draw or "")
    numbers[place] = (numbers[place] or 0) + 1
    local s = foreign.sample(row, task, numbers[place], run, source)
    run:keep_task(task)
    if not run.record.samples[s.key] then run.record:put_sample(s) end
    if row.reward then run.record:amend_sample(s.key, { reward = row.reward }) end
    samples[i] = s
  end
  return samples
end

-- Verdicts that the file holds. One code of a task has one verdict in a run; where several are given, that of the rule of
-- foreign.one_verdict. Samples with one, correct ones, codes whose verdicts differ and the samples that have those.
local function put_verdicts(run, rows, samples, task_of)
  local of, order, c = {}, {}, { judged = 0, correct = 0, differ = 0, differ_samples = 0 }
  for i, row in ipairs(rows) do
    local s = samples[i]
    local name = row.correct ~= nil and s.task .. "/" .. s.code_sha
    if name and not of[name] then of[name], order[#order + 1] = { s = s }, name end
    if name then table.insert(of[name], row) end
  end
  for _, name in ipairs(order) do
    local one, differ = foreign.one_verdict(of[name])
    local v = foreign.verdict(one, task_of(one), of[name].s, run)
    if not run.record.evals[v.key] then run.record:put_eval(v) end
    c.judged, c.correct = c.judged + #of[name], c.correct + (v.correct and #of[name] or 0)
    if differ then c.differ, c.differ_samples = c.differ + 1, c.differ_samples + #of[name] end
  end
  return c
end

local function experiment_of(f, path, rows, task_of)
  return experiment.new { name = f.as, doc = "Rollouts of another program.",
    params = { file = { path, "the file" }, map = { f.map or "", "how its fields are called" }, judge = { f.judge or false, "judged here" },
      protocol = { "fast", "how long to time", choices = { "fast", "full" } }, model = { "foreign", "what wrote them" },
      seed = { 42, "seed that it was made with" } },
    plan = function()
      inputs.note_file(path)
      return {}
    end,
    main = function(view, p)
      local run = session.run "import"
      run.progress.stage = "reading"
      local samples = put_rows(run, rows, task_of, inputs.file_digest(path) or path)
      run:charge { rollouts = #samples }
      local c
      if p.judge then
        run.progress.stage = "judging"
        local by_id = {}
        for _, row in ipairs(rows) do by_id[task_of(row).id] = task_of(row) end
        c = { correct = rejudge.judge(samples, function(id) return by_id[id] end, p.protocol), judged = #samples, differ = 0, differ_samples = 0 }
      else
        c = put_verdicts(run, rows, samples, task_of)
      end
      local t, of, order = view:table("tasks", { "task", "name", "n", "code" }), {}, {}
      for i, row in ipairs(rows) do
        local task = task_of(row)
        if not of[task] then of[task], order[#order + 1] = { 0, 0 }, task end
        of[task][1], of[task][2] = of[task][1] + 1, of[task][2] + (samples[i].code and 1 or 0)
      end
      for _, task in ipairs(order) do t:row(task.id, task.name, of[task][1], of[task][2]) end
      c.samples, c.tasks = #samples, #order
      return c
    end }
end

-- What the file did not say, where something rests on it.
local function say_absent(seen, f, n)
  local function lacks(name) return (seen[name] or 0) < n end
  if lacks "logprob" and lacks "logprobs" then verb.say("  without log-probabilities: rules by likelihood refuse these samples") end
  if f.judge then return end
  if lacks "correct" then
    verb.say("  without verdicts (%d of %d): --map correct=FIELD names theirs, --judge makes them", n - (seen.correct or 0), n)
    return
  end
  if lacks "speedup" then verb.say("  without speedups: what is correct counts as fast as the baseline") end
  if lacks "speedup_lo" then verb.say("  without intervals of speedups: nothing is faster for sure, fast_1_sure is 0") end
  if lacks "is_copy" then verb.say("  without is_copy: copies of the shown body are not known, pools without copies hold them") end
end

local function run(f, words, argv)
  if #words ~= 1 then errors.usage "import takes one file of JSON lines; see `vegttt import --help`" end
  local path, map = words[1], foreign.map(f.map)
  if not f.as:find "^[%w][%w_.-]*$" or f.as == "latest" or #f.as > 100 then
    errors.usage("--as: an experiment cannot be called '%s'; take letters, digits, '_', '-' and '.'", f.as)
  end
  session.flags = { unsafe_jail = f["unsafe-jail"] }
  local rows, seen, left = foreign.read(path, map)
  local task_of = foreign.tasks(path)
  foreign.find_code(path, rows, task_of, f.judge)
  local given = { file = path, map = f.map or "", judge = f.judge or false, protocol = f.protocol, model = f.model, seed = f.seed }
  local dir, result = rejudge.carry_out(experiment_of(f, path, rows, task_of), given, { "import", table.unpack(argv) },
    { run = f.run, fresh = f.fresh })
  verb.say("%d samples of %d tasks, %d judged, %d correct: %s", result.samples, result.tasks, result.judged, result.correct, dir)
  if result.differ > 0 then
    verb.say("  %d codes have verdicts that differ (%d samples): such a code counts as correct if all of them say so, with the median speedup and the widest interval",
      result.differ, result.differ_samples)
  end
  if #left > 0 then verb.say("  fields that nothing takes: %s", table.concat(left, ", ")) end
  say_absent(seen, f, #rows)
  return 0
end

local function field_lines()
  local lines = {}
  for i, x in ipairs(foreign.fields) do lines[i] = ("  %-12s %-8s %s"):format(x[1], x[2], x[4]) end
  return table.concat(lines, "\n")
end

function import.main(argv)
  return verb.main(argv, { run = run, max_words = 1, options = {
    { "map", "OURS=THEIRS,…", "how the file calls the fields below; a path like metrics.reward reaches into an object" },
    { "judge", nil, "judge the code here (c tier) in place of the verdicts in the file" }, verb.protocol_option,
    { "as", "NAME", "experiment whose run it becomes: best_of_n lets paper.lua take it", default = "import" },
    { "model", "NAME", "what wrote them", default = "foreign" },
    { "seed", "N", "seed that they were made with", kind = "integer", min = 0, default = 42 },
    { "fresh", nil, "a new run although one of this file exists" }, { "run", "NAME", "name of the run directory" },
    verb.unsafe_jail_option },
    help = "vegttt import FILE.jsonl [--map text=completion,task=problem_id]   rollouts of another program as a run",
    after = "Fields of a line; task and either text or code are needed:\n" .. field_lines() })
end

return import
