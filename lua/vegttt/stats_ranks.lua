-- SPDX-License-Identifier: Apache-2.0
--
-- Rank correlations. Samples of one task share its difficulty, and many are copies: pairs that come in clusters are
-- tested over clusters (cluster = a list of ids, one per pair), as one rho of all pairs or as the mean of the clusters'
-- own (within = true). The two can differ in sign, so a table gives both.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local statistic = require "vegttt.statistic"

local ranks = {}
local inference = core.inference

local function result(r, x, method, unit)
  return statistic.new { value = r.value or 0 / 0, lo = r.lo, hi = r.hi, n = r.n, n_distinct = statistic.distinct(x),
    ties = r.ties, p = r.p, p_min = r.p_min, method = method, unit = unit }
end

-- The numbers of the clusters from 1 in order of first appearance, and the pairs of each.
local function clusters_of(op, ids, x, y)
  if type(ids) ~= "table" or #ids ~= #x then
    errors.misuse(op, "%s: cluster must be a list with an id for each of the %d pairs", op, #x)
  end
  local number, of, sets = {}, {}, {}
  for i = 1, #ids do
    local id = ids[i]
    if not number[id] then
      sets[#sets + 1] = { x = {}, y = {} }
      number[id] = #sets
    end
    of[i] = number[id]
    table.insert(sets[of[i]].x, x[i])
    table.insert(sets[of[i]].y, y[i])
  end
  return of, sets
end

local function pooled(x, y, of, n_clusters, level)
  local r = inference.spearman_clusters(x, y, of, n_clusters, level)
  local out = result(r, x, ("rho of all pairs, jackknife over %d clusters"):format(n_clusters), "cluster")
  out.n, out.n_samples = n_clusters, #x
  if n_clusters < statistic.min_units then out.p = nil end
  return statistic.claim(out)
end

local function within(x, sets, level)
  local rhos, ties, n_pairs = {}, 0, 0
  for _, s in ipairs(sets) do
    local r = #s.x > 2 and inference.spearman(s.x, s.y, level) or {}
    if r.value then
      rhos[#rhos + 1] = r.value
      ties, n_pairs = ties + r.ties, n_pairs + #s.x
    end
  end
  local out = { value = 0 / 0, n = #rhos, n_samples = n_pairs, ties = ties, n_distinct = statistic.distinct(x),
    unit = "cluster", method = ("mean of rho within %d of %d clusters; bootstrap-t, random signs"):format(#rhos, #sets) }
  if #rhos > 0 then
    local i, t = inference.interval(rhos, "t", "mean", 10000, level, statistic.seed),
      inference.sign_flip(rhos, 10000, statistic.seed)
    out.value, out.lo, out.hi, out.p, out.p_min, out.zeros = i.value, i.lo, i.hi, t.p, t.p_min, t.zeros
  end
  return statistic.new(statistic.claim(out))
end

---Spearman's rho. cluster: ids, one per pair; within: the mean over clusters of each one's rho.
function ranks.spearman(x, y, o)
  local op = "vt.stats.spearman"
  o = statistic.check(op, errors.options(op, o, { cluster = "table", within = "boolean", level = "number" }))
  x, y = statistic.pairs(op, x, y, 2)
  local level = o.level or 0.95
  if o.cluster then
    local of, sets = clusters_of(op, o.cluster, x, y)
    if o.within then return within(x, sets, level) end
    return pooled(x, y, of, #sets, level)
  elseif o.within then
    errors.misuse(op, "%s: within needs cluster, a list with the task of each pair", op)
  end
  return result(inference.spearman(x, y, level), x, "Spearman, Student's t; Bonett-Wright interval", "pair")
end

---Spearman's rho of x and y given z, such as length.
function ranks.partial_spearman(x, y, z, o)
  local op = "vt.stats.partial_spearman"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  x, y = statistic.pairs(op, x, y, 4)
  x, z = statistic.pairs(op, x, z, 4)
  return result(inference.partial_spearman(x, y, z, o.level or 0.95), x,
    "partial Spearman, Student's t; Bonett-Wright interval", "pair")
end

---Kendall's tau-b.
function ranks.kendall(x, y, o)
  local op = "vt.stats.kendall"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  x, y = statistic.pairs(op, x, y, 2)
  local r = inference.kendall(x, y, o.level or 0.95)
  return result(r, x, ("Kendall's tau-b, %s; Fieller interval"):format(r.is_exact and "exact" or "normal"), "pair")
end

---P(x > y) - P(x < y) of two independent lists.
function ranks.cliffs_delta(x, y, o)
  local op = "vt.stats.cliffs_delta"
  o = statistic.check(op, errors.options(op, o, { level = "number" }))
  x = statistic.numbers(op, x, 2)
  y = statistic.numbers(op, y, 2)
  local all = table.move(y, 1, #y, #x + 1, table.move(x, 1, #x, 1, {}))
  return result(inference.cliffs_delta(x, y, o.level or 0.95), all, "Cliff's delta, Mann-Whitney; Feng-Cliff interval",
    "value")
end

return ranks
