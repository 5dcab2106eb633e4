-- SPDX-License-Identifier: Apache-2.0
--
-- Two recorded runs compared, paired by task: the task is the unit, its samples are not independent of each other, so a
-- difference is a mean over tasks with an interval over tasks, and its test is the exact sign test over tasks.
--
-- A task's figure is over a part of its samples, and the same part on both sides (compare.part): the draw of a choice that
-- is a maximum over it, an independent draw, or everything. A run records what it chose in its result: `step`, or for each
-- task alone `steps` = task -> step, and `draw`, the label, where a step has draws of other things beside; "fresh" is the
-- label of a second draw. First verdicts count.
-- Figures that were measured under other conditions (protocol, machine class, evaluator, model, prompts) do not differ by
-- what the runs did alone: `conditions` says which do not agree.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local meter = require "vegttt.meter"
local run_files = require "vegttt.run_files"
local stats = require "vegttt.stats"
local text = require "vegttt.text"

local compare = {}

---Budgets that differ by less than this share of the larger are matched.
compare.budget_tolerance = 0.02

---What a task can be compared by.
compare.metrics = { "fast_1_sure", "fast_1", "correct", "speedup" }

-- ── one side ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function add(set, v)
  if v ~= nil then set[tostring(v)] = true end
end

local function place_of(s) return s.place or s.step end

-- What a run's result says of its choice: { step, steps, draw }; nil where it chose nothing.
local function choice_of(summary)
  local r = summary and summary.result or {}
  local steps = type(r.steps) == "table" and r.steps or nil
  if type(r.step) ~= "number" and not steps then return nil end
  return { step = type(r.step) == "number" and r.step or nil, steps = steps, draw = type(r.draw) == "string" and r.draw or nil }
end

-- Which part of a run each of its samples is in: "selected", "fresh", or neither. What a run drew at one place under one
-- label, with nothing chosen, is no maximum over anything: it is as independent as a fresh draw.
local function parts_of(choice, samples)
  local first, is_one_draw = samples[1], true
  for _, s in ipairs(samples) do is_one_draw = is_one_draw and place_of(s) == place_of(first) and s.draw == first.draw end
  return function(s)
    if not choice then return is_one_draw and "fresh" or nil end
    local step = choice.steps and choice.steps[tostring(s.task)] or choice.step
    if place_of(s) ~= step then return nil end
    if s.draw == "fresh" then return "fresh" end
    return (choice.draw == nil or s.draw == choice.draw) and "selected" or nil
  end
end

---The parts that samples of a run can be compared by, best first, and what the notes say of them.
compare.parts = { { "fresh", "a draw that nothing was chosen by" },
  { "selected", "what the run chose: a maximum over the samples that it is scored on" }, { "all", "all samples, of every step and draw" } }

---The first of compare.parts that all these runs have, so that like is compared with like.
function compare.part(dirs)
  local n = {}
  for _, dir in ipairs(dirs) do
    local samples, have = run_files.samples(dir), {}
    local part_of = parts_of(choice_of(select(2, run_files.status(dir))), samples)
    for _, s in ipairs(samples) do have[part_of(s) or "all"] = true end
    for name in pairs(have) do n[name] = (n[name] or 0) + 1 end
  end
  for _, part in ipairs(compare.parts) do
    if n[part[1]] == #dirs then return part[1] end
  end
  return "all"
end

local function new_task(s) return { task = s.task, name = "", n = 0, correct = 0, fast_1 = 0, fast_1_sure = 0, speedup = 0 } end

local function add_sample(t, v)
  t.n = t.n + 1
  if not v then return end -- an answer without code is a wrong one
  t.name, t.digest = v.task_name or t.name, v.task_digest or t.digest
  if v.correct then t.correct = t.correct + 1 end
  if stats.is_fast(v, 1) then t.fast_1 = t.fast_1 + 1 end
  if stats.is_sure(v, 1) then t.fast_1_sure = t.fast_1_sure + 1 end
  if v.correct then t.speedup = math.max(t.speedup, v.speedup) end
end

local function add_conditions(c, s)
  add(c["prompts of task " .. tostring(s.task)], s.prompt_sha)
  if not s.result then return end
  add(c.protocol, s.result.protocol)
  add(c["machine class"], s.result.machine)
  add(c.evaluator, s.result.evaluator)
end

local function model_of(dir, params)
  local judged = params.rejudges and params.rejudges.value -- of a run that has another's samples
  if judged and core.exists(judged .. "/run.json") then return model_of(judged, run_files.params(judged)) end
  local out = {}
  for _, set in ipairs { inputs.recorded(dir) } do
    for _, x in ipairs(set.list) do
      if x.kind == "model" then out[x.digest] = true end
    end
  end
  if next(out) == nil and params.model then add(out, params.model.value) end
  return out
end

---{ dir, experiment, status, summary, part, step, n, n_unjudged, n_timed_elsewhere, tasks = by id, conditions = name -> set }
---over the samples of a part.
function compare.side(dir, part)
  local about = run_files.json(dir, "run.json") or {}
  local status, summary = run_files.status(dir)
  local samples, choice = run_files.samples(dir), choice_of(summary)
  local part_of = parts_of(choice, samples)
  local side = { dir = dir, experiment = about.experiment or "?", about = about, status = status, summary = summary, n = 0,
    n_unjudged = 0, n_timed_elsewhere = 0, part = part, step = part ~= "all" and choice and choice.step or nil, tasks = {},
    conditions = { protocol = {}, ["machine class"] = {}, evaluator = {}, model = model_of(dir, run_files.params(dir)) } }
  for _, s in ipairs(samples) do
    local is_counted = part == "all" or part_of(s) == part
    if is_counted and s.code_sha and not s.result then
      side.n_unjudged = side.n_unjudged + 1
    elseif is_counted then
      local place = "prompts of task " .. tostring(s.task)
      side.conditions[place] = side.conditions[place] or {}
      side.tasks[s.task] = side.tasks[s.task] or new_task(s)
      add_sample(side.tasks[s.task], s.result)
      add_conditions(side.conditions, s)
      side.n = side.n + 1
      if s.result and s.result.timed_in then side.n_timed_elsewhere = side.n_timed_elsewhere + 1 end
    end
  end
  for _, t in pairs(side.tasks) do
    for _, name in ipairs { "correct", "fast_1", "fast_1_sure" } do t[name] = t[name] / t.n end
  end
  return side
end

-- ── two sides ────────────────────────────────────────────────────────────────────────────────────────────────────────

local function list_of(set)
  local names = {}
  for i, v in ipairs(errors.keys(set)) do names[i] = text.short(v) end
  return #names > 0 and table.concat(names, " and ") or "none"
end

local function is_one_and_same(a, b)
  local first = next(a)
  return first == nil or next(b) == nil or next(a, first) == nil and next(b) == first and next(b, first) == nil
end

-- The same set on both sides is no difference: a run may open several models, a task have several prompts.
local function is_same_set(a, b)
  for v in pairs(a) do
    if not b[v] then return false end
  end
  for v in pairs(b) do
    if not a[v] then return false end
  end
  return true
end

---What of the conditions does not agree, in words.
function compare.conditions(a, b)
  local out = {}
  for _, name in ipairs(errors.keys(a.conditions)) do
    local x, y = a.conditions[name], b.conditions[name]
    local may_be_several = name == "model" or name:find "^prompts"
    local agrees = not y or may_be_several and is_same_set(x, y) or not may_be_several and is_one_and_same(x, y)
    if not agrees then out[#out + 1] = ("%s: %s in A, %s in B"):format(name, list_of(x), list_of(y)) end
  end
  return out
end

---The tasks that both have, by id, and in words what could not be paired.
function compare.pairs(a, b)
  local out, notes, n_only = {}, {}, { 0, 0 }
  for _, id in ipairs(errors.keys(a.tasks)) do
    local x, y = a.tasks[id], b.tasks[id]
    if not y then
      n_only[1] = n_only[1] + 1
    elseif x.digest and y.digest and x.digest ~= y.digest then
      notes[#notes + 1] = ("task %d is another one in B than in A, and left out"):format(id)
    else
      out[#out + 1] = { task = id, name = x.name ~= "" and x.name or y.name, a = x, b = y }
    end
  end
  for id in pairs(b.tasks) do
    if not a.tasks[id] then n_only[2] = n_only[2] + 1 end
  end
  for i, side in ipairs { "A", "B" } do
    if n_only[i] > 0 then notes[#notes + 1] = ("%d tasks are in %s alone"):format(n_only[i], side) end
  end
  return out, notes
end

-- Tests of paired differences and the size of the effect: shares by Cohen's h, speedups by Cliff's delta.
local function tests_of(rows, metric, d, n_plus, n_minus)
  local a, b = {}, {}
  for i, r in ipairs(rows) do a[i], b[i] = r.a[metric], r.b[metric] end
  if #d == 0 then return {} end
  local sign, flips = stats.sign_test(n_plus, n_minus), stats.permutation(d)
  local ranks = n_plus + n_minus > 0 and stats.wilcoxon(d) or { p = 1, p_min = 1 }
  local effect
  if metric ~= "speedup" then
    effect = stats.cohens_h(math.min(1, stats.mean(b)), math.min(1, stats.mean(a)))
  elseif #d > 1 then
    effect = stats.cliffs_delta(b, a).value
  end
  return { sign = { p = sign.p, p_min = sign.p_min }, wilcoxon = { p = ranks.p, p_min = ranks.p_min, value = ranks.value },
    permutation = { p = flips.p, p_min = flips.p_min },
    effect = { name = metric == "speedup" and "Cliff's delta" or "Cohen's h", value = effect } }
end

---What two sides were charged, by unit: { unit, a, b, ratio, is_matched }, where either was charged any.
function compare.budgets(a, b)
  local out = {}
  local x, y = a.summary and a.summary.meter.charged, b.summary and b.summary.meter.charged
  for _, unit in ipairs(type(x) == "table" and type(y) == "table" and meter.units or {}) do
    local u, v = tonumber(x[unit]) or 0, tonumber(y[unit]) or 0
    if u ~= 0 or v ~= 0 then
      out[#out + 1] = { unit = unit, a = u, b = v, ratio = u ~= 0 and v / u or nil,
        is_matched = math.abs(u - v) <= compare.budget_tolerance * math.max(u, v) }
    end
  end
  return out
end

---The difference B - A of a metric over paired tasks: { metric, n, a, b, difference, lo, hi, n_better, n_ties, n_worse, p,
---tests }.
function compare.difference(rows, metric)
  local d, sum_a, sum_b, n_plus, n_minus = {}, 0, 0, 0, 0
  for i, r in ipairs(rows) do
    d[i] = r.b[metric] - r.a[metric]
    sum_a, sum_b = sum_a + r.a[metric], sum_b + r.b[metric]
    if d[i] > 0 then n_plus = n_plus + 1 elseif d[i] < 0 then n_minus = n_minus + 1 end
  end
  local n, mean = #d, stats.mean_ci(d)
  return { metric = metric, n = n, a = n > 0 and sum_a / n or nil, b = n > 0 and sum_b / n or nil,
    difference = n > 0 and mean.value or nil, lo = mean.lo, hi = mean.hi, n_better = n_plus, n_worse = n_minus,
    n_ties = n - n_plus - n_minus, p = n_plus + n_minus > 0 and stats.sign_test(n_plus, n_minus).p or 1, tests = tests_of(rows, metric, d, n_plus, n_minus) }
end

-- ── sweeps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Names of parameters that have several values among these cells.
local function axes_of(cells)
  local first, out = nil, {}
  for _, c in ipairs(cells) do
    local p = run_files.params(c.dir)
    first = first or p
    for name, entry in pairs(p) do
      local other = first[name]
      if not other or core.json_encode { entry.value } ~= core.json_encode { other.value } then out[name] = true end
    end
  end
  return out
end

local function key_of(dir, axes)
  local p, out = run_files.params(dir), {}
  for _, name in ipairs(axes) do
    local v = p[name] and p[name].value
    out[name] = v == nil and core.null or v
  end
  return core.json_encode(out), out
end

---The cells of two sweeps that have the same values of what either varies: { { params, a = dir, b = dir }, … } and how
---many stand alone. Of several runs of one cell the newest counts.
function compare.cells(of_a, of_b)
  local names = axes_of(of_a)
  for name in pairs(axes_of(of_b)) do names[name] = true end
  local axes, by, order = errors.keys(names), {}, {}
  for side, cells in pairs { a = of_a, b = of_b } do
    for _, c in ipairs(cells) do
      local key, values = key_of(c.dir, axes)
      if not by[key] then
        by[key] = { params = values }
        order[#order + 1] = key
      end
      by[key][side] = c.dir
    end
  end
  table.sort(order)
  local out, n_alone = {}, 0
  for _, key in ipairs(order) do
    if by[key].a and by[key].b then out[#out + 1] = by[key] else n_alone = n_alone + 1 end
  end
  return out, n_alone, axes
end

return compare
