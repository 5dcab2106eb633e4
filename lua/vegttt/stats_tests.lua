-- SPDX-License-Identifier: Apache-2.0
--
-- Tests of pairs, one per task: is one way better than another on the same tasks? Average over seeds within a task first.
-- Values are lists in the order of the tasks; a list alone is taken for differences. The intervals are of the size of
-- the difference, which the tests alone do not say.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local statistic = require "vegttt.statistic"

local tests = {}
local formulas, inference = core.stats, core.inference

---Wilcoxon's signed ranks; value is the Hodges-Lehmann difference. zeros: "drop" or "pratt".
function tests.wilcoxon(x, y, o)
  local op = "vt.stats.wilcoxon"
  o = statistic.check(op, errors.options(op, o, { zeros = { "drop", "pratt" }, level = "number" }))
  local d = statistic.differences(op, x, y)
  local t = inference.wilcoxon(d, o.zeros == "pratt", o.level or 0.95)
  return statistic.new(statistic.claim { value = t.value, lo = t.lo, hi = t.hi, n = t.n, ties = t.ties, zeros = t.zeros,
    n_distinct = statistic.distinct(d), p = t.p, p_min = t.p_min,
    method = ("signed ranks, %s, zeros %s; Hodges-Lehmann"):format(t.is_exact and "exact" or "normal",
      o.zeros == "pratt" and "ranked" or "dropped") })
end

---Exact sign test from counts; value n_plus - n_minus.
function tests.sign_test(n_plus, n_minus, o)
  local op = "vt.stats.sign_test"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  local n = statistic.count(op, "n_plus", n_plus) + statistic.count(op, "n_minus", n_minus)
  local r = { value = n_plus - n_minus, n = n, p = formulas.sign_test(n_plus, n_minus), p_min = math.min(1, 2.0 ^ (1 - n)),
    method = "exact sign test; Clopper-Pearson interval" }
  if n > 0 then
    local i = inference.clopper_pearson(n_plus, n, o.level or 0.95)
    r.lo, r.hi = n * (2 * i.lo - 1), n * (2 * i.hi - 1)
  end
  return statistic.new(statistic.claim(r))
end

---One way against another on the same tasks: how often each is ahead, and the exact sign test of that. value: the mean of
---x - y, with its interval; wins: x is ahead.
function tests.paired(x, y, o)
  local op = "vt.stats.paired"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  local d, n = statistic.differences(op, x, y), { wins = 0, losses = 0, ties = 0 }
  for _, v in ipairs(d) do
    local what = v > 0 and "wins" or v < 0 and "losses" or "ties"
    n[what] = n[what] + 1
  end
  local i = inference.interval(d, "t", "mean", 2000, o.level or 0.95, statistic.seed)
  local n_distinct, n_differ = statistic.distinct(d), n.wins + n.losses
  return statistic.new(statistic.claim { value = i.value, lo = n_distinct > 1 and i.lo or nil, hi = n_distinct > 1 and i.hi or nil,
    n = #d, n_distinct = n_distinct, wins = n.wins, losses = n.losses, ties = n.ties, p = formulas.sign_test(n.wins, n.losses),
    p_min = math.min(1, 2.0 ^ (1 - n_differ)), method = "exact sign test of wins and losses; mean difference, bootstrap-t" })
end

local function successes(op, list)
  if type(list) ~= "table" then errors.misuse(op, "%s needs lists of successes, not a %s", op, type(list)) end
  local out = {}
  for i = 1, #list do
    local v = list[i]
    if v ~= true and v ~= false and v ~= 0 and v ~= 1 then
      errors.misuse(op, "%s: element %d is %s; a success is true or 1, a failure false or 0", op, i, tostring(v))
    end
    out[i] = v == true or v == 1
  end
  return out
end

---McNemar's exact test of two lists of successes; value is the difference of the two shares.
function tests.mcnemar(first, second, o)
  local op = "vt.stats.mcnemar"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  local a, b = successes(op, first), successes(op, second)
  if #a ~= #b then errors.misuse(op, "%s: %d and %d values are no pairs", op, #a, #b) end
  if #a == 0 then errors.misuse(op, "%s needs at least 1 pair", op) end
  local n_first, n_second = 0, 0
  for i = 1, #a do
    if a[i] and not b[i] then n_first = n_first + 1 end
    if b[i] and not a[i] then n_second = n_second + 1 end
  end
  local i = inference.paired_difference(n_first, n_second, #a, o.level or 0.95)
  local n_differ = n_first + n_second
  return statistic.new(statistic.claim { value = i.value, lo = i.lo, hi = i.hi, n = #a, ties = #a - n_differ,
    p = formulas.sign_test(n_first, n_second), p_min = math.min(1, 2.0 ^ (1 - n_differ)),
    method = "McNemar, exact; Agresti-Min interval" })
end

-- Any statistic of differences under random signs.
local function flip_signs(op, d, fn, n_draws, seed)
  local function measure(values)
    local v = fn(values)
    if type(v) ~= "number" or v ~= v then
      errors.misuse(op, "%s: the statistic gave %s; it must give a number", op, tostring(v))
    end
    return v
  end
  local value, as_far, at = measure(table.move(d, 1, #d, 1, {})), 0, 0
  local far = math.abs(value) * (1 - 1e-12)
  for _ = 1, n_draws do
    local flipped = {}
    for i = 1, #d do
      at = at + 1
      flipped[i] = core.uniform(seed, at) < 0.5 and -d[i] or d[i]
    end
    if math.abs(measure(flipped)) >= far then as_far = as_far + 1 end
  end
  return { value = value, p = (as_far + 1) / (n_draws + 1), p_min = 1 / (n_draws + 1), n = #d,
    method = ("random signs, %d draws, of a function"):format(n_draws) }
end

local function unpaired(op, x, y, n_draws, seed)
  x = statistic.numbers(op, x, 1)
  y = statistic.numbers(op, y, 1)
  local t = inference.permutation(x, y, n_draws, seed)
  return statistic.new { value = t.statistic, n = t.n, p = t.p, p_min = t.p_min, unit = "value",
    method = t.is_exact and "all splits, difference of means" or
      ("random splits, %d draws, difference of means"):format(n_draws) }
end

---Random signs of paired differences (paired = false: random splits of two independent lists). statistic: a function of
---the list of differences in place of their mean, which must turn its sign when all of them do.
function tests.permutation(x, y, o)
  local op = "vt.stats.permutation"
  o = statistic.check(op, errors.options(op, o, { paired = "boolean", statistic = "function", n = "integer",
    seed = "integer", level = "number" }))
  local n_draws, seed = o.n or 10000, o.seed or statistic.seed
  if o.paired == false then
    if o.statistic then errors.misuse(op, "%s: statistic is of paired differences", op) end
    return unpaired(op, x, y, n_draws, seed)
  end
  local d = statistic.differences(op, x, y)
  if o.statistic then return statistic.new(flip_signs(op, d, o.statistic, o.n or 2000, seed)) end
  local t = inference.sign_flip(d, n_draws, seed)
  local i = inference.interval(d, "t", "mean", n_draws, o.level or 0.95, seed)
  return statistic.new(statistic.claim { value = t.statistic, lo = i.lo, hi = i.hi, n = t.n, zeros = t.zeros,
    n_distinct = statistic.distinct(d), p = t.p, p_min = t.p_min,
    method = (t.is_exact and "all signs" or ("random signs, %d draws"):format(n_draws)) .. ", mean; bootstrap-t" })
end

---Chance that a test of n_tasks tasks gives p < alpha when the differences scatter as the pilot's do around `effect`.
function tests.power(o)
  local op = "vt.stats.power"
  if type(o) ~= "table" then errors.misuse(op, "%s needs a table with pilot and n_tasks", op) end
  o = errors.options(op, o, { pilot = "table", n_tasks = "integer", effect = "number",
    test = { "permutation", "wilcoxon", "sign_test" }, alpha = "number", n = "integer", seed = "integer" })
  statistic.check(op, o)
  statistic.numbers(op, o.pilot or {}, 2)
  statistic.count(op, "n_tasks", o.n_tasks, 1)
  local alpha, n, test = o.alpha or 0.05, o.n or 1000, o.test or "permutation"
  if not (alpha > 0 and alpha < 1) then
    errors.misuse(op, "%s: alpha must lie between 0 and 1, as 0.05 does, not %s", op, tostring(alpha))
  end
  local effect = o.effect or formulas.mean(o.pilot)
  statistic.numbers(op, { effect })
  local found = inference.power(o.pilot, o.n_tasks, effect, test, alpha, n, o.seed or statistic.seed)
  local i = inference.clopper_pearson(found, n, 0.95)
  return statistic.new { value = i.value, lo = i.lo, hi = i.hi, n = n, n_distinct = statistic.distinct(o.pilot),
    unit = "simulation", method = ("%s of %d tasks, effect %g, p < %g"):format(test, o.n_tasks, effect, alpha) }
end

local function p_values(op, list)
  if type(list) ~= "table" then errors.misuse(op, "%s needs a list of p-values or statistics", op) end
  local p = {}
  for i = 1, #list do p[i] = statistic.is(list[i]) and list[i].p or list[i] end
  for i, v in ipairs(statistic.numbers(op, p)) do
    if v < 0 or v > 1 then errors.misuse(op, "%s: element %d is %g, which is no p-value", op, i, v) end
  end
  return p
end

---Adjusted p-values of several tests (numbers or statistics), in their order: the chance of any false finding.
function tests.holm(list) return inference.holm(p_values("vt.stats.holm", list)) end

---The share of false findings among those at most as large.
function tests.benjamini_hochberg(list)
  return inference.benjamini_hochberg(p_values("vt.stats.benjamini_hochberg", list))
end

return tests
