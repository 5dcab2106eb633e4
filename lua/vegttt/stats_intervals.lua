-- SPDX-License-Identifier: Apache-2.0
--
-- Means and shares with intervals. The default is the bootstrap-t over units: tests/unit/stats_calibration.c shows what
-- each method covers where it says 95 %, on tasks whose samples are copies of each other.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local statistic = require "vegttt.statistic"

local intervals = {}
local formulas, inference = core.stats, core.inference

local names = { t = "symmetric bootstrap-t", bca = "BCa bootstrap", percentile = "percentile bootstrap", student = "Student's t" }
local methods = { "t", "bca", "percentile", "student" }

-- The mean or median of values, one per unit.
local function interval(values, what, method, o)
  local r = { value = 0 / 0, n = #values, n_distinct = statistic.distinct(values), unit = o.unit, method = "no values" }
  if #values == 0 then return statistic.new(r) end
  local i = inference.interval(values, method, what, o.n or 10000, o.level or 0.95, o.seed or statistic.seed)
  r.value, r.lo, r.hi = i.value, i.lo, i.hi
  r.sd = #values > 1 and formulas.sd(values) or nil
  r.method = ("%s, %s"):format(what, names[method])
  if r.n_distinct == 1 then r.lo, r.hi = nil, nil end
  return statistic.new(statistic.claim(r))
end

---Mean of numbers, one per task. method: "t" (bootstrap-t), "bca", "percentile", "student".
function intervals.mean_ci(values, o)
  o = errors.options("vt.stats.mean_ci", o, { method = methods, bootstrap = "integer", seed = "integer",
    level = "number" })
  statistic.check("vt.stats.mean_ci", o)
  return interval(statistic.numbers("vt.stats.mean_ci", values), "mean", o.method or "t", { n = o.bootstrap, seed = o.seed, level = o.level })
end

local function cluster_means(op, clusters)
  if type(clusters) ~= "table" then errors.misuse(op, "%s needs a list of lists, not a %s", op, type(clusters)) end
  local means = {}
  for i, c in ipairs(clusters) do
    local x = statistic.numbers(op, c)
    if #x == 0 then errors.misuse(op, "%s: cluster %d is empty", op, i) end
    means[i] = formulas.mean(x)
  end
  return means
end

---Mean or median; cluster: one list of values per cluster, whose means are resampled. method: that of mean_ci; for a
---median "bca" or "percentile".
function intervals.bootstrap(values, o)
  local op = "vt.stats.bootstrap"
  o = errors.options(op, o, { statistic = { "mean", "median" }, method = methods, n = "integer", seed = "integer",
    cluster = "boolean", level = "number" })
  statistic.check(op, o)
  values = o.cluster and cluster_means(op, values) or statistic.numbers(op, values)
  local what = o.statistic or "mean"
  local method = o.method or what == "mean" and "t" or "bca"
  if what == "median" and (method == "t" or method == "student") then
    errors.misuse(op, "%s: %s is of means; use method = \"bca\" for a median", op, names[method])
  end
  return interval(values, what, method, { n = o.n, seed = o.seed, level = o.level,
    unit = o.cluster and "cluster" or "value" })
end

local function trials(op, n_success, n)
  statistic.count(op, "n", n, 1)
  statistic.count(op, "the number of successes", n_success, 0, n)
end

---Exact interval of a share of independent trials.
function intervals.clopper_pearson(n_success, n, o)
  local op = "vt.stats.clopper_pearson"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  trials(op, n_success, n)
  local i = inference.clopper_pearson(n_success, n, o.level or 0.95)
  return statistic.new { value = i.value, lo = i.lo, hi = i.hi, n = n, method = "Clopper-Pearson, exact", unit = "trial" }
end

---Odds of success on one side over those on the other, from counts of successes and failures.
function intervals.odds_ratio(success_1, failure_1, success_2, failure_2, o)
  local op = "vt.stats.odds_ratio"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  local zeros = 0
  for i, v in ipairs { success_1, failure_1, success_2, failure_2 } do
    if statistic.count(op, "count " .. i, v) == 0 then zeros = zeros + 1 end
  end
  local i = inference.odds_ratio(success_1, failure_1, success_2, failure_2, o.level or 0.95)
  return statistic.new { value = i.value, lo = i.lo, hi = i.hi, n = i.n, zeros = zeros, unit = "trial",
    method = zeros > 0 and "Woolf, a half added to every count" or "Woolf" }
end

local Summary = closed.record_class("vt.stats.summary's result", { "n", "n_distinct", "mean", "sd", "median", "min", "max" })

---n, n_distinct, mean, sd, min, max, median of numbers or of a field of a list.
function intervals.summary(values, field)
  local op, x = "vt.stats.summary", {}
  if field == nil then
    x = statistic.numbers(op, values)
  else
    if type(values) ~= "table" then errors.misuse(op, "%s needs a list, not a %s", op, type(values)) end
    for i, v in ipairs(values) do x[i] = errors.number(op, ("field '%s' of element %d"):format(field, i), v[field]) end
  end
  return setmetatable({ n = #x, n_distinct = statistic.distinct(x), mean = formulas.mean(x),
    sd = #x > 1 and formulas.sd(x) or nil, median = formulas.quantile(x, 0.5), min = formulas.quantile(x, 0),
    max = formulas.quantile(x, 1) }, Summary)
end

return intervals
