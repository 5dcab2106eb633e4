-- SPDX-License-Identifier: Apache-2.0
--
-- Several runs as one side of a comparison: repetitions with other seeds of the same thing. Their figures are averaged within
-- each task first, a run counting once however many samples it has, so that the task stays the unit: three seeds of five tasks
-- are five pairs, not fifteen. Runs that differ in more than the seed are no repetitions, and are refused.
local compare = require "vegttt.compare"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"

local group = {}

local averaged = { "correct", "fast_1", "fast_1_sure", "speedup" }

-- Names of parameters in which the runs differ, but for the seed.
local function differing(dirs)
  local first, names = run_files.params(dirs[1]), {}
  for i = 2, #dirs do
    local other = run_files.params(dirs[i])
    for _, p in ipairs { first, other } do
      for name in pairs(p) do
        local x, y = first[name] and first[name].value, other[name] and other[name].value
        if name ~= "seed" and core.json_encode { x } ~= core.json_encode { y } then names[name] = true end
      end
    end
  end
  return errors.keys(names)
end

-- Means of what all runs have as numbers; what is the same in all of them as it is.
local function mean_of(list)
  local out = {}
  for name, first in pairs(list[1]) do
    local sum, is_same = 0, true
    for _, t in ipairs(list) do
      local v = t[name]
      if type(v) == "table" then v = v.value end
      sum = sum and type(v) == "number" and sum + v / #list or nil
      is_same = is_same and v == first
    end
    out[name] = sum or is_same and first or nil
  end
  return out
end

local function mean_summary(sides)
  local summaries = {}
  for _, s in ipairs(sides) do
    if not s.summary then return nil end
    summaries[#summaries + 1] = s.summary
  end
  local function all(fn)
    local list = {}
    for i, s in ipairs(summaries) do list[i] = fn(s) or {} end
    return mean_of(list)
  end
  return { result = all(function(s) return s.result end), wall_s = all(function(s) return { wall_s = s.wall_s } end).wall_s,
    meter = { charged = all(function(s) return s.meter.charged end), spent = all(function(s) return s.meter.spent end) } }
end

local function add_tasks(out, side)
  for id, t in pairs(side.tasks) do
    local x = out[id] or { task = id, name = t.name, digest = t.digest, n = 0, n_runs = 0, correct = 0, fast_1 = 0, fast_1_sure = 0, speedup = 0 }
    out[id] = x
    if x.digest and t.digest and x.digest ~= t.digest then
      errors.usage("task %d is another one in %s than in the other runs of its side", id, side.dir)
    end
    x.n, x.n_runs = x.n + t.n, x.n_runs + 1
    for _, name in ipairs(averaged) do x[name] = x[name] + (t[name] - x[name]) / x.n_runs end
  end
end

---The runs `dirs` as one side, like compare.side; `what` is how they were named.
function group.side(dirs, what, part)
  if #dirs == 1 then return compare.side(dirs[1], part) end
  local names = differing(dirs)
  if #names > 0 then
    errors.usage("the %d runs of %s differ in %s; runs that are averaged differ in their seed alone", #dirs, what, table.concat(names, ", "))
  end
  local sides, tasks, conditions, n_finished = {}, {}, {}, 0
  local out = { dir = what, dirs = dirs, part = part, n = 0, n_unjudged = 0, n_timed_elsewhere = 0, tasks = tasks, conditions = conditions }
  for i, dir in ipairs(dirs) do
    local s = compare.side(dir, part)
    sides[i] = s
    add_tasks(tasks, s)
    for name, set in pairs(s.conditions) do
      conditions[name] = conditions[name] or {}
      for v in pairs(set) do conditions[name][v] = true end
    end
    n_finished = n_finished + (s.status == "finished" and 1 or 0)
    for _, name in ipairs { "n", "n_unjudged", "n_timed_elsewhere" } do out[name] = out[name] + s[name] end
    if s.step then out.step = (out.step and out.step .. ", " or "") .. s.step end
  end
  out.experiment, out.about, out.summary = sides[1].experiment, sides[1].about, mean_summary(sides)
  out.status = n_finished == #dirs and "finished" or ("%d of %d runs finished"):format(n_finished, #dirs)
  return out
end

---The runs that a word of the command line names: those of a glob, else the one that run_files.find finds.
function group.dirs(word)
  if not word:find "[*?]" then return { run_files.find(word) } end
  local out = {}
  for i, r in ipairs(run_files.matching(word, run_files.all())) do out[i] = r.dir end
  if #out == 0 then errors.usage("no run matches '%s'; `vegttt ls` lists them", word) end
  return out
end

return group
