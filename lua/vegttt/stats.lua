-- SPDX-License-Identifier: Apache-2.0
--
-- Statistics of samples: what engine/stats computes over arrays, applied to groups with the task as the unit. Each
-- result is a table { value, lo, hi, n, method, unit }; a share of samples is the mean over tasks of the task's share.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local text = require "vegttt.text"

local stats = {}
local formulas = core.stats
local bootstrap_seed = 20260101

local Result = closed.class("vt.Result", "a statistic", { "value", "lo", "hi", "sd", "n", "n_samples", "p", "p_min",
  "method", "unit" })
function Result:__tostring()
  if self.lo and self.lo == self.lo then
    return ("%s [%s, %s], n = %d"):format(text.number(self.value, 4), text.number(self.lo, 4), text.number(self.hi, 4),
      self.n)
  end
  return ("%s, n = %d"):format(text.number(self.value, 4), self.n)
end

local function result(t)
  t.unit = t.unit or "task"
  return setmetatable(t, Result)
end

---A group, a list of groups or a flat list of samples as groups by task, in order of first appearance.
local function by_group(op, of)
  local out, by = {}, {}
  for _, s in ipairs(groups.samples(op, of)) do
    local id = s.task and s.task.id or 0
    if not by[id] then
      by[id] = { task = s.task }
      out[#out + 1] = by[id]
    end
    table.insert(by[id], s)
  end
  return out
end

local function need_result(op, s)
  return s.result or errors.misuse(op, "%s: a sample has no verdict; call vt.eval.all first", op)
end

local function share(op, of, is_hit)
  local shares, n_samples = {}, 0
  for i, g in ipairs(by_group(op, of)) do
    local hits = 0
    for _, s in ipairs(g) do
      if is_hit(need_result(op, s)) then hits = hits + 1 end
    end
    shares[i] = hits / #g
    n_samples = n_samples + #g
  end
  if #shares == 0 then return result { value = 0 / 0, n = 0, n_samples = 0, method = "no samples" } end
  if #shares == 1 then
    local value, lo, hi = formulas.wilson(math.floor(shares[1] * n_samples + 0.5), n_samples)
    return result { value = value, lo = lo, hi = hi, n = 1, n_samples = n_samples,
      method = "one task, Wilson over its samples" }
  end
  local value, lo, hi = formulas.bootstrap(shares, "mean", 2000, 0.95, bootstrap_seed)
  return result { value = value, lo = lo, hi = hi, n = #shares, n_samples = n_samples,
    method = "mean over tasks, bootstrap over tasks" }
end

---The papers' fast_p: correct and point speedup as timed above p, copies included.
local function is_fast(v, p) return v.correct and v.speedup_measured > p end
---Ours: lower end of the interval above p, not a copy, not flagged.
local function is_sure(v, p)
  return v.correct and not v.is_copy and v.status ~= "flagged" and (v.speedup_lo or 0) > p
end
stats.is_fast, stats.is_sure = is_fast, is_sure

function stats.fast(of, p)
  return share("vt.stats.fast", of, function(v) return is_fast(v, p or 1) end)
end

function stats.fast_sure(of, p)
  return share("vt.stats.fast_sure", of, function(v) return is_sure(v, p or 1) end)
end

---Share of samples with a verdict's boolean field set, or of a given status.
function stats.rate(of, field)
  return share("vt.stats.rate", of, function(v) return v[field] == true or v.status == field end)
end

local TaskRow = closed.record_class("a row of vt.stats.by_task", { "task", "name", "n", "correct", "fast_1", "fast_1_sure",
  "speedup", "best" })

---One row per task: { task, name, n, correct, fast_1, fast_1_sure, speedup, best }. best: the fastest correct sample as
---first judged, speedup its speedup.
function stats.by_task(of)
  local rows = {}
  for i, g in ipairs(by_group("vt.stats.by_task", of)) do
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

-- Per task: number of samples and of hits under fast_p.
local function counts(op, of, p)
  local out = {}
  for i, g in ipairs(by_group(op, of)) do
    local c = 0
    for _, s in ipairs(g) do
      if is_fast(need_result(op, s), p) then c = c + 1 end
    end
    out[i] = { n = #g, c = c }
  end
  return out
end

---Unbiased pass@k per task (success: fast_p, p = 1), mean over tasks.
function stats.pass_at_k(of, k, o)
  o = errors.options("vt.stats.pass_at_k", o, { p = "number" })
  local values = {}
  for i, t in ipairs(counts("vt.stats.pass_at_k", of, o.p or 1)) do values[i] = formulas.pass_at_k(t.n, t.c, k) end
  return stats.mean_ci(values)
end

---Expected best speedup of k draws without replacement per task (0 when not correct), mean over tasks.
function stats.best_of_k(of, k)
  local values = {}
  for i, g in ipairs(by_group("vt.stats.best_of_k", of)) do
    local x = {}
    for j, s in ipairs(g) do x[j] = need_result("vt.stats.best_of_k", s).correct and s.result.speedup or 0 end
    values[i] = formulas.best_of_k(x, k)
  end
  return stats.mean_ci(values)
end

---Share of tasks with at least one fast_p sample.
function stats.task_success(of, p)
  local values = {}
  for i, t in ipairs(counts("vt.stats.task_success", of, p or 1)) do values[i] = t.c > 0 and 1 or 0 end
  return stats.mean_ci(values)
end

---Mean of numbers with a percentile bootstrap interval.
function stats.mean_ci(values, o)
  o = errors.options("vt.stats.mean_ci", o, { bootstrap = "integer", seed = "integer", level = "number" })
  if #values == 0 then return result { value = 0 / 0, n = 0, method = "no values" } end
  if #values == 1 then return result { value = values[1], n = 1, method = "one value, no interval" } end
  local value, lo, hi = formulas.bootstrap(values, "mean", o.bootstrap or 10000, o.level or 0.95,
    o.seed or bootstrap_seed)
  return result { value = value, lo = lo, hi = hi, n = #values, sd = #values > 1 and formulas.sd(values) or nil,
    method = "bootstrap" }
end

---Bootstrap of the mean or median; cluster: one list of values per cluster, whose means are resampled.
function stats.bootstrap(values, o)
  o = errors.options("vt.stats.bootstrap", o, { statistic = { "mean", "median" }, n = "integer", seed = "integer",
    cluster = "boolean", level = "number" })
  if o.cluster then
    local means = {}
    for i, c in ipairs(values) do means[i] = formulas.mean(c) end
    values = means
  end
  local value, lo, hi = formulas.bootstrap(values, o.statistic or "mean", o.n or 10000, o.level or 0.95,
    o.seed or bootstrap_seed)
  return result { value = value, lo = lo, hi = hi, n = #values, method = "percentile bootstrap" }
end

function stats.wilson(n_success, n)
  local value, lo, hi = formulas.wilson(n_success, n)
  return result { value = value, lo = lo, hi = hi, n = n, method = "Wilson", unit = "trial" }
end

function stats.cohens_h(p1, p2) return formulas.cohens_h(p1, p2) end

function stats.sign_test(n_plus, n_minus)
  local n = n_plus + n_minus
  local _, lo, hi = formulas.wilson(n_plus, n)
  return result { value = n_plus - n_minus, lo = n * (2 * lo - 1), hi = n * (2 * hi - 1), n = n,
    p = formulas.sign_test(n_plus, n_minus), p_min = 2 ^ (1 - n), method = "exact, two-sided; Wilson interval" }
end

local n_resamples = 2000

-- Draw number `at` of the stream: 1 to n.
local function draw(seed, at, n) return 1 + math.floor(core.uniform(seed, at) * n) end

---Rank correlation with a percentile bootstrap over pairs, and a two-sided permutation test of no relation.
function stats.spearman(x, y)
  if #x ~= #y then errors.misuse("vt.stats.spearman", "vt.stats.spearman: %d and %d values are no pairs", #x, #y) end
  local n, value = #x, formulas.spearman(x, y)
  local out = { value = value, n = n, unit = "pair",
    method = "average ranks; bootstrap over pairs, permutation test" }
  if n < 3 or value ~= value then return result(out) end
  local rhos, n_as_far, at = {}, 0, 0
  for _ = 1, n_resamples do
    local a, b, c = {}, {}, table.move(y, 1, n, 1, {})
    for i = 1, n do
      local j, k = draw(bootstrap_seed, at + 1, n), draw(bootstrap_seed, at + 2, n + 1 - i) + i - 1
      a[i], b[i], at = x[j], y[j], at + 2
      c[i], c[k] = c[k], c[i]
    end
    local rho = formulas.spearman(a, b)
    if rho == rho then rhos[#rhos + 1] = rho end
    if math.abs(formulas.spearman(x, c)) >= math.abs(value) - 1e-12 then n_as_far = n_as_far + 1 end
  end
  out.lo, out.hi = formulas.quantile(rhos, 0.025), formulas.quantile(rhos, 0.975)
  out.p, out.p_min = (n_as_far + 1) / (n_resamples + 1), 1 / (n_resamples + 1)
  return result(out)
end

---n, mean, sd, min, max, median of numbers or of a field of a list.
function stats.summary(values, field)
  local x = {}
  for i, v in ipairs(values) do x[i] = field and v[field] or v end
  return { n = #x, mean = formulas.mean(x), sd = #x > 1 and formulas.sd(x) or nil, median = formulas.quantile(x, 0.5),
    min = formulas.quantile(x, 0), max = formulas.quantile(x, 1) }
end

stats.mean, stats.sd, stats.geometric_mean, stats.quantile = formulas.mean, formulas.sd, formulas.geometric_mean,
  formulas.quantile

return stats
