-- SPDX-License-Identifier: Apache-2.0
--
-- What a page about a run is made of, from its files alone: no model, no evaluator. Samples are read as scalars (the index
-- of rollouts), verdicts line by line; of the texts only those of the kernels that are shown. Works on a run that is
-- still going.
local best = require "vegttt.best"
local core = require "vegttt.core"
local csv = require "vegttt.csv"
local errors = require "vegttt.errors"
local index = require "vegttt.rollout_index"
local run_files = require "vegttt.run_files"
local stats = require "vegttt.stats"

local data = {}

-- Verdicts of a run: counts by status, its sentences by how often they were said, task/code -> first and second verdict,
-- and what judged: evaluators, machine classes, compilers, protocols.
local function verdicts_of(dir)
  local v = { n = 0, by_status = {}, reasons = {}, first = {}, again = {}, judged_by = {} }
  run_files.lines(dir, "evals.jsonl", function(line)
    local key = ("%s/%s"):format(line.task, line.code_sha)
    if line.confirms then
      v.again[key] = line
      return
    end
    v.first[key] = { result = line, code_sha = line.code_sha }
    v.n = v.n + 1
    v.by_status[line.status] = (v.by_status[line.status] or 0) + 1
    local why = not line.correct and (line.feedback or line.error)
    if type(why) == "string" then
      local reason = line.status .. "\0" .. why:match "^[^\n]*":sub(1, 200)
      v.reasons[reason] = (v.reasons[reason] or 0) + 1
    end
    local by = ("%s\0%s\0%s\0%s\0%s"):format(line.machine, line.compiler, line.evaluator, line.protocol, line.scale)
    v.judged_by[by] = (v.judged_by[by] or 0) + 1
  end, true)
  return v
end

-- Samples by task: numbers of samples, codes, correct ones …, and the kernels worth showing, best first.
local function tasks_of(dir, verdicts)
  local x, by = index.of(dir), {}
  index.each(x, function(group, verdict, line, s)
    local id = x.groups[group].task
    if not id then return end
    local t = by[id]
    if not t then
      t = { task = id, n = 0, correct = 0, copies = 0, fast_1 = 0, sure = 0, codes = {}, distinct = 0, at = {}, kernels = {} }
      by[id] = t
    end
    t.n = t.n + 1
    if s.code_sha and not t.codes[s.code_sha] then
      t.codes[s.code_sha], t.distinct, t.at[s.code_sha] = true, t.distinct + 1, { line, s.key }
    end
    local v = verdict > 0 and x.verdicts[verdict]
    if not v then return end
    t.name = t.name or v.task_name
    local kernel = verdicts.first[id .. "/" .. v.code_sha]
    if v.correct then t.correct = t.correct + 1 end
    if v.is_copy then t.copies = t.copies + 1 end
    if stats.is_fast(v, 1) then t.fast_1 = t.fast_1 + 1 end
    if stats.is_sure(v, 1) then t.sure = t.sure + 1 end
    if kernel and not t.kernels[v.code_sha] then
      t.kernels[v.code_sha] = true
      table.insert(t.kernels, kernel)
    end
  end)
  local list = {}
  for _, id in ipairs(errors.keys(by)) do list[#list + 1] = by[id] end
  return list
end

-- The kernel that the page shows for a task: the first that held when it was judged again; where the run made no second
-- verdicts, the first in rank, which is said.
local function shown_kernel(dir, t, verdicts)
  local ranked = best.rank(t.kernels)
  local found
  for _, k in ipairs(ranked) do
    local again = verdicts.again[t.task .. "/" .. k.code_sha]
    if again and best.holds(again) then
      found = { kernel = k, verdict = again, is_confirmed = true }
      break
    end
  end
  found = found or ranked[1] and { kernel = ranked[1], verdict = ranked[1].result, is_confirmed = false }
  if not found then return nil end
  local at = t.at[found.kernel.code_sha]
  found.code = at and index.line(dir, "rollouts.jsonl", at[1], at[2]).code
  return found.code and found or nil
end

local function by_name(dir, folder, ending)
  local out = {}
  for _, file in ipairs(core.list(("%s/%s"):format(dir, folder))) do
    local name = file:match("^(.*)%." .. ending .. "$")
    if name then out[#out + 1] = { name = name, path = ("%s/%s/%s"):format(dir, folder, file) } end
  end
  return out
end

-- Tables in the order in which the script made them, then the others.
local function tables_of(dir, summary)
  local place, out = {}, by_name(dir, "tables", "csv")
  for i, name in ipairs(summary and summary.tables or {}) do place[name] = i end
  table.sort(out, function(a, b)
    local pa, pb = place[a.name] or math.huge, place[b.name] or math.huge
    if pa ~= pb then return pa < pb end
    return a.name < b.name
  end)
  for _, t in ipairs(out) do t.columns, t.rows = csv.read(core.read(t.path)) end
  return out
end

local function last_meter(dir, summary)
  if summary and summary.meter and summary.meter.charged then return summary.meter end
  local last
  run_files.lines(dir, "meter.jsonl", function(line) last = line end)
  return last
end

---Everything of a run: { dir, about, status, summary, params, env, meter, verdicts, tasks, tables, plots, inputs }.
function data.of(dir)
  local about = run_files.json(dir, "run.json") or errors.usage("%s/run.json cannot be read, so this is no run that can be shown", dir)
  local status, summary = run_files.status(dir)
  local verdicts = verdicts_of(dir)
  local run = { dir = dir, about = about, status = status, summary = summary, params = run_files.params(dir),
    env = run_files.json(dir, "env.json") or {}, meter = last_meter(dir, summary), verdicts = verdicts,
    tasks = tasks_of(dir, verdicts), tables = tables_of(dir, summary), plots = by_name(dir, "plots", "svg"), inputs = {} }
  local task_of = run_files.tasks_of(dir)
  for _, t in ipairs(run.tasks) do
    t.shown = shown_kernel(dir, t, verdicts)
    local ok, task = pcall(task_of, t.task)
    t.task_of_run = ok and task or nil
    t.name = t.name or t.task_of_run and t.task_of_run.name
  end
  run_files.lines(dir, "inputs.jsonl", function(line) table.insert(run.inputs, line) end)
  return run
end

return data
