-- SPDX-License-Identifier: Apache-2.0
--
-- Statistics of samples: what engine/stats computes over arrays, applied to groups with the task as the unit. Each
-- result is what statistic.lua says; a share of samples is the mean over tasks of the task's share. Names say what is
-- averaged: sample_fast_1 is over samples, task_success@K over tasks with at least one success among K samples,
-- selected_fast_1 over the samples that a rule picked; _sure asks for more than a timed ratio above 1.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local intervals = require "vegttt.stats_intervals"
local list = require "vegttt.list"
local ranks = require "vegttt.stats_ranks"
local statistic = require "vegttt.statistic"
local tests = require "vegttt.stats_tests"

local stats = {}
local formulas = core.stats
local result = statistic.new

local function need_result(op, s)
  return s.result or errors.misuse(op, "%s: a sample has no verdict; call vt.eval.all first", op)
end

-- The method of a mean whose values are one per task.
local function of_tasks(r) return (r.method:gsub("^mean", "mean over tasks")) end

-- A share is in [0, 1], whatever the bootstrap of its spread says.
local function within_shares(r)
  if r.lo then r.lo, r.hi = math.max(0, r.lo), math.min(1, r.hi) end
  return r
end

-- Share of hits among the samples of a task; per code: the mean over different codes of each one's share.
local function share_of_task(samples, hits, per_code)
  local of, n_codes, sum = {}, 0, 0
  for i, s in ipairs(samples) do
    local code = per_code and groups.code_of(s) or i
    if not of[code] then
      of[code] = { hits = 0, n = 0 }
      n_codes = n_codes + 1
    end
    of[code].n = of[code].n + 1
    if hits[i] then of[code].hits = of[code].hits + 1 end
  end
  for _, c in pairs(of) do sum = sum + c.hits * (1 / c.n) end
  return n_codes > 0 and sum / n_codes or 0
end

-- A task of which all samples are left out keeps its place, as one without success.
local function share(op, of, is_hit, o)
  o = errors.options(op, o, { per = { "sample", "code" }, copies = "boolean" })
  local shares, n_samples, by = {}, 0, groups.by_task(op, of)
  for i, g in ipairs(by) do
    local kept, hits = {}, {}
    for _, s in ipairs(g) do
      local v = need_result(op, s)
      if o.copies ~= false or not v.is_copy then
        kept[#kept + 1] = s
        hits[#kept] = is_hit(v)
      end
    end
    by[i] = kept
    shares[i] = share_of_task(kept, hits, o.per == "code")
    n_samples = n_samples + #kept
  end
  local r = within_shares(intervals.mean_ci(shares, { bootstrap = 2000 }))
  r.n_samples, r.n_distinct, r.method = n_samples, groups.n_distinct(by), of_tasks(r)
  return r
end

---The papers' fast_p: correct and point speedup as timed above p, copies included.
local function is_fast(v, p) return v.correct and v.speedup_measured > p end
---Ours: lower end of the interval above p, not a copy, not flagged.
local function is_sure(v, p)
  return v.correct and not v.is_copy and v.status ~= "flagged" and (v.speedup_lo or 0) > p
end

local function of_verdict(op, fn)
  return function(v, p)
    if type(v) ~= "table" then errors.misuse(op, "%s needs a verdict, not a %s", op, type(v)) end
    return fn(v, p == nil and 1 or statistic.threshold(op, p))
  end
end
stats.is_fast, stats.is_sure = of_verdict("vt.stats.is_fast", is_fast), of_verdict("vt.stats.is_sure", is_sure)

---Share of samples, mean over tasks. o: { per = "sample" | "code", copies = true }.
function stats.fast(of, p, o)
  p = statistic.threshold("vt.stats.fast", p)
  return share("vt.stats.fast", of, function(v) return is_fast(v, p) end, o)
end

function stats.fast_sure(of, p, o)
  p = statistic.threshold("vt.stats.fast_sure", p)
  return share("vt.stats.fast_sure", of, function(v) return is_sure(v, p) end, o)
end

local function set_of(names)
  local set = {}
  for name in names:gmatch "%S+" do set[name] = true end
  return set
end
local flags = set_of "correct is_copy cached"
local statuses = set_of [[malformed compile_error load_error runtime_error timeout wrong_output correct_slow correct_fast
  flagged]]

---Share of samples with a verdict's boolean field set, or of a given status.
function stats.rate(of, field, o)
  if type(field) ~= "string" then
    errors.misuse("vt.stats.rate", "vt.stats.rate needs the name of a field or a status, not a %s", type(field))
  end
  if not (flags[field] or statuses[field]) then
    local names = errors.keys(flags)
    for name in pairs(statuses) do names[#names + 1] = name end
    errors.misuse("vt.stats.rate", "vt.stats.rate: a verdict has no flag or status '%s'%s", field,
      errors.hint(field, names))
  end
  return share("vt.stats.rate", of, function(v)
    if flags[field] then return v[field] == true end
    return v.status == field
  end, o)
end

local TaskRow = closed.record_class("a row of vt.stats.by_task", { "task", "name", "n", "correct", "fast_1", "fast_1_sure",
  "speedup", "best" })

---One row per task: { task, name, n, correct, fast_1, fast_1_sure, speedup, best }. best: the fastest correct sample as
---first judged, speedup its speedup.
function stats.by_task(of)
  local rows = {}
  for i, g in ipairs(groups.by_task("vt.stats.by_task", of)) do
    local row = { task = g.task and g.task.id or 0, name = g.task and g.task.name or "", n = #g, correct = 0,
      fast_1 = 0, fast_1_sure = 0, speedup = 0 }
    for _, s in ipairs(g) do
      local v = need_result("vt.stats.by_task", s)
      if v.correct then row.correct = row.correct + 1 / #g end
      if is_fast(v, 1) then row.fast_1 = row.fast_1 + 1 / #g end
      if is_sure(v, 1) then row.fast_1_sure = row.fast_1_sure + 1 / #g end
      if v.correct and v.speedup > row.speedup then row.speedup, row.best = v.speedup, s end
    end
    rows[i] = setmetatable(row, TaskRow)
  end
  return rows
end

-- Per task: number of samples and of hits under fast_p. o: sure; copies = false, which are no hits then; per = "code".
local function counts(op, of, p, o)
  local out, by, is_hit = {}, groups.by_task(op, of), o and o.sure and is_sure or is_fast
  if o and o.per == "code" then by = groups.codes(by) end
  p = statistic.threshold(op, p)
  for i, g in ipairs(by) do
    local c = 0
    for _, s in ipairs(g) do
      local v = need_result(op, s)
      if is_hit(v, p) and not (o and o.copies == false and v.is_copy) then c = c + 1 end
    end
    out[i] = { id = g.task and g.task.id or 0, n = #g, c = c }
  end
  return out, by
end

-- k of a task's n samples.
local function need_k(op, k, n) statistic.count(op, "k", k, 1, n) end

-- The mean over tasks with the codes that it stands on.
local function over_tasks(values, by)
  local r, n = intervals.mean_ci(values), 0
  for _, g in ipairs(by) do n = n + #g end
  r.n_samples, r.n_distinct, r.method = n, groups.n_distinct(by), of_tasks(r)
  return r
end

local unit_options = { p = "number", sure = "boolean", copies = "boolean", per = { "sample", "code" } }

---Unbiased pass@k per task (success: fast_p, p = 1; sure: for sure), mean over tasks. copies = false: a copy is no success;
---per = "code": of k different codes.
function stats.pass_at_k(of, k, o)
  o = errors.options("vt.stats.pass_at_k", o, unit_options)
  local values, tasks, by = {}, counts("vt.stats.pass_at_k", of, o.p, o)
  for i, t in ipairs(tasks) do
    need_k("vt.stats.pass_at_k", k, t.n)
    values[i] = formulas.pass_at_k(t.n, t.c, k)
  end
  return within_shares(over_tasks(values, by))
end

---Expected best speedup of k draws without replacement per task (0 when not correct, and, with copies = false, of a copy),
---mean over tasks.
function stats.best_of_k(of, k, o)
  o = errors.options("vt.stats.best_of_k", o, { copies = "boolean" })
  local values, by = {}, groups.by_task("vt.stats.best_of_k", of)
  for i, g in ipairs(by) do
    local x = {}
    need_k("vt.stats.best_of_k", k, #g)
    for j, s in ipairs(g) do
      local v = need_result("vt.stats.best_of_k", s)
      x[j] = v.correct and not (o.copies == false and v.is_copy) and v.speedup or 0
    end
    values[i] = formulas.best_of_k(x, k)
  end
  return over_tasks(values, by)
end

---Share of tasks with at least one fast_p sample (sure: for sure; copies = false: none that is a copy).
function stats.task_success(of, p, o)
  o = errors.options("vt.stats.task_success", o, { sure = "boolean", copies = "boolean" })
  local values, tasks, by = {}, counts("vt.stats.task_success", of, p, o)
  for i, t in ipairs(tasks) do values[i] = t.c > 0 and 1 or 0 end
  return within_shares(over_tasks(values, by))
end

-- The curve of pass@k over tasks, each drawn once, or as often as `times` says.
local function curve_of(tasks, ks, times)
  local curve = {}
  for j, k in ipairs(ks) do
    local sum, n = 0, 0
    for i, t in ipairs(tasks) do
      local w = times and times[i] or 1
      t[k] = t[k] or formulas.pass_at_k(t.n, t.c, k)
      sum, n = sum + w * t[k], n + w
    end
    curve[j] = sum / n
  end
  return curve
end

-- The targets of tasks: a number for all, or each one's share among groups over the same tasks.
local function targets_of(op, tasks, target, o)
  if type(target) == "number" then
    if not (target >= 0 and target <= 1) then errors.misuse(op, "%s: target %s is no share", op, tostring(target)) end
    return function() return target end
  end
  local share_of, out = {}, {}
  for _, t in ipairs(counts(op, target, o.p, { sure = o.sure })) do share_of[t.id] = t.c / t.n end
  for i, t in ipairs(tasks) do
    out[i] = share_of[t.id] or errors.misuse(op, "%s: the target has no samples of task %s", op, tostring(t.id))
  end
  return function(times)
    local sum, n = 0, 0
    for i, v in ipairs(out) do
      local w = times and times[i] or 1
      sum, n = sum + w * v, n + w
    end
    return sum / n
  end
end

---How many samples Best-of-N needs for a success rate: pass@k of the groups, monotone, linear in log k. target: a share,
---or groups over the same tasks whose sample fast_p it is. bound "<" or ">" where the curve does not reach so far.
function stats.equivalent_k(of, target, o)
  local op = "vt.stats.equivalent_k"
  o = statistic.check(op, errors.options(op, o, { p = "number", sure = "boolean", n = "integer", seed = "integer",
    level = "number" }))
  local tasks, by = counts(op, of, o.p, { sure = o.sure })
  if #tasks == 0 then errors.misuse(op, "%s needs samples", op) end
  local most = math.huge
  for _, t in ipairs(tasks) do most = math.min(most, t.n) end
  local ks, target_of = list.powers(2, most), targets_of(op, tasks, target, o)
  local function invert(times)
    return core.inference.equivalent_k(ks, curve_of(tasks, ks, times), target_of(times))
  end
  local k, draws, at, seed = invert(), {}, 0, o.seed or statistic.seed
  for d = 1, o.n or 1000 do
    local times = {}
    for i = 1, #tasks do times[i] = 0 end
    for _ = 1, #tasks do
      at = at + 1
      local i = 1 + math.floor(core.uniform(seed, at) * #tasks)
      times[i] = times[i] + 1
    end
    draws[d] = math.max(1, math.min(invert(times), most))
  end
  local tail = (1 - (o.level or 0.95)) / 2
  return result(statistic.claim { value = math.max(1, math.min(k, most)), bound = k < 1 and "<" or k > most and ">" or nil,
    lo = formulas.quantile(draws, tail), hi = formulas.quantile(draws, 1 - tail), n = #tasks,
    n_distinct = groups.n_distinct(by), method = "pass@k inverted in log k, percentile bootstrap over tasks" })
end

---The papers' form of a result: mean and standard deviation over seeds of what measure (fast) gives of each one's groups.
---It says how much seeds differ, not what other tasks would give; for that pool the seeds, which averages within tasks.
function stats.over_seeds(runs, measure)
  local op, values = "vt.stats.over_seeds", {}
  if type(runs) ~= "table" or #runs == 0 then errors.misuse(op, "%s needs a list with the groups of each seed", op) end
  for i, of in ipairs(runs) do
    local v = (measure or stats.fast)(of)
    values[i] = statistic.is(v) and v.value or v
  end
  statistic.numbers(op, values)
  return result { value = formulas.mean(values), sd = #values > 1 and formulas.sd(values) or nil, n = #values,
    n_distinct = statistic.distinct(values), unit = "seed", method = "the papers' form: mean and sd over seeds" }
end

---The measures of groups by their full names, and of what a rule picked from them: { sample_fast_1, sample_fast_1_sure,
---sample_correct, ["task_success@K"], also _sure and _no_copies, selected_fast_1, selected_fast_1_sure }.
function stats.metrics(of, picks)
  local tasks = counts("vt.stats.metrics", of)
  local k = #tasks > 0 and tasks[1].n or 0
  for _, t in ipairs(tasks) do
    if t.n ~= k then
      errors.misuse("vt.stats.metrics", "vt.stats.metrics: task_success@K needs equally many samples of each task; "
        .. "task %s has %d, task %s %d", tostring(tasks[1].id), k, tostring(t.id), t.n)
    end
  end
  local success = ("task_success@%d"):format(k)
  return { sample_fast_1 = stats.fast(of, 1), sample_fast_1_sure = stats.fast_sure(of, 1),
    sample_correct = stats.rate(of, "correct"), [success] = stats.task_success(of, 1),
    [success .. "_sure"] = stats.task_success(of, 1, { sure = true }),
    [success .. "_no_copies"] = stats.task_success(of, 1, { copies = false }), selected_fast_1 = picks and picks:fast(1),
    selected_fast_1_sure = picks and picks:fast_sure(1) }
end

-- How a share is taken: of all samples, without copies, of each code once.
local ways = { { "", {} }, { "_no_copies", { copies = false } }, { "_per_code", { per = "code" } } }

-- What of fast_1 is no finding: samples of the shown body, whose ratio is a coin; those within timing's noise above 1; those that
-- are flagged as faster than the machine can be.
local doubts = {
  copies = function(v) return v.is_copy end,
  near_1 = function(v) return v.speedup_measured <= 1.05 end,
  flagged = function(v) return v.status == "flagged" end,
}

---The shares of samples by their full names, each also without copies and per distinct code: sample_correct, sample_fast_1,
---sample_fast_1_sure, and those with _no_copies and _per_code; and the parts of sample_fast_1 that are _copies, _near_1 (at most
---1.05) and _flagged.
function stats.shares(of)
  local out = {}
  for _, way in ipairs(ways) do
    out["sample_correct" .. way[1]] = stats.rate(of, "correct", way[2])
    out["sample_fast_1" .. way[1]] = stats.fast(of, 1, way[2])
    out["sample_fast_1_sure" .. way[1]] = stats.fast_sure(of, 1, way[2])
  end
  for name, is_doubtful in pairs(doubts) do
    out["sample_fast_1_" .. name] = share("vt.stats.shares", of, function(v) return is_fast(v, 1) and is_doubtful(v) end)
  end
  return out
end

function stats.wilson(n_success, n)
  statistic.count("vt.stats.wilson", "n", n)
  statistic.count("vt.stats.wilson", "the number of successes", n_success, 0, n)
  local value, lo, hi = formulas.wilson(n_success, n)
  return result { value = value, lo = lo, hi = hi, n = n, method = "Wilson", unit = "trial" }
end

function stats.cohens_h(p1, p2)
  local op = "vt.stats.cohens_h"
  return formulas.cohens_h(errors.number(op, "p1", p1, 0, 1), errors.number(op, "p2", p2, 0, 1))
end

for _, part in ipairs { intervals, ranks, tests } do
  for name, fn in pairs(part) do stats[name] = fn end
end

function stats.mean(values) return formulas.mean(statistic.numbers("vt.stats.mean", values)) end

function stats.sd(values) return formulas.sd(statistic.numbers("vt.stats.sd", values)) end

function stats.geometric_mean(values)
  local x = statistic.numbers("vt.stats.geometric_mean", values)
  for i, v in ipairs(x) do
    if v <= 0 then
      errors.misuse("vt.stats.geometric_mean", "vt.stats.geometric_mean: value %d is %s; all must be positive", i, v)
    end
  end
  return formulas.geometric_mean(x)
end

function stats.quantile(values, q)
  local op = "vt.stats.quantile"
  return formulas.quantile(statistic.numbers(op, values), errors.number(op, "q", q, 0, 1))
end

return stats
