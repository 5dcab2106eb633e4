-- SPDX-License-Identifier: Apache-2.0
--
-- What a rule would have kept of fewer samples: its selected success at k of the K that were recorded, the mean over all
-- subsets of k.
--
-- A rule that picks the first of a ranking needs no subset to be drawn: the r-th of the pool is picked when it is in the
-- subset and the r - 1 before it are not, which is so in C(n - r, k - 1) of the C(n, k) subsets of the task's n samples,
-- those outside the pool (wrong answers, copies) among them. A pick by chance is the pool's mean where the subset has
-- anything of the pool. Other rules are applied to subsets that are drawn, and say so in their method.
--
-- In the pool each_once a task's samples are its different codes: k of them are k different programs.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups_ = require "vegttt.groups"
local intervals = require "vegttt.stats_intervals"
local list = require "vegttt.list"
local rng = require "vegttt.rng"
local view_ = require "vegttt.select_view"

local curve = {}

local outcomes = { "fast", "fast_sure" }

local function by_chance(values, n, ks)
  local out, mean = {}, #values > 0 and core.stats.mean(values) or 0
  for j, k in ipairs(ks) do out[j] = #values > 0 and core.stats.pass_at_k(n, #values, k) * mean or 0 end
  return out
end

local function exact(rule, all, views, ks)
  local points, at_each = {}, rule.by == "chance" and by_chance or core.stats.first_of_k
  local function rank(view) return rule.by ~= "chance" and core.stats.order(view:column(rule.by.column), -rule.by.sign) or nil end
  for j, k in ipairs(ks) do points[j] = { k = k, fast = {}, fast_sure = {} } end
  for i, g in ipairs(all) do
    local order = rank(views[i])
    for _, what in ipairs(outcomes) do
      for j, v in ipairs(at_each(views[i]:column(what), #g, ks, order)) do points[j][what][i] = v end
    end
  end
  return points, "all subsets"
end

-- Subsets that are drawn: pick(rule, groups, pool, seed) gives the rule's picks.
local function drawn(rule, all, pool, ks, o)
  local points = {}
  for j, k in ipairs(ks) do
    local point = { k = k, fast = {}, fast_sure = {} }
    for i = 1, #all do point.fast[i], point.fast_sure[i] = 0, 0 end
    for d = 1, o.subsets do
      local subset = {}
      for i, g in ipairs(all) do
        local stream = rng.new(o.seed, ("subset/%d/%d/%d"):format(k, d, i))
        subset[i] = setmetatable(table.move(stream:shuffle(g), 1, k, 1, {}), { __index = { task = g.task } })
      end
      for i, p in ipairs(o.pick(rule, subset, pool, o.seed + d)) do
        local frame = view_.frame(p.samples)
        for _, what in ipairs(outcomes) do
          for _, v in ipairs(frame:column(what)) do point[what][i] = point[what][i] + v / frame.n / o.subsets end
        end
      end
    end
    points[j] = point
  end
  return points, ("%d subsets drawn"):format(o.subsets)
end

-- One value per task: the mean over its groups.
local function per_task(all, values)
  local of, out = {}, {}
  for i, g in ipairs(all) do of[i] = { task = g.task and g.task.id or i, v = values[i] } end
  for i, set in ipairs(list.group_by(of, "task")) do
    local sum = 0
    for _, x in ipairs(set) do sum = sum + x.v end
    out[i] = sum / #set
  end
  return out
end

---[pool][rule's name] -> { { k, fast, fast_sure }, … } at powers of two up to the smallest group, the last two as statistics
---over tasks. o: { pools, subsets, seed, pick }.
function curve.of(rules, groups, o)
  local out, frames, codes, n_distinct = {}, {}, groups_.codes(groups), 0
  for _, g in ipairs(codes) do n_distinct = n_distinct + #g end
  for _, pool in ipairs(o.pools) do
    local all, most = pool == "each_once" and codes or groups, math.huge
    for _, g in ipairs(all) do
      most, frames[g] = math.min(most, #g), frames[g] or view_.frame(g)
    end
    if #all == 0 or most == 0 then errors.misuse("vt.select.curves", "vt.select.curves: a group holds no samples") end
    local ks = list.powers(2, most)
    out[pool] = {}
    for _, rule in ipairs(rules) do
      local mode = pool == "before_check" and pool or rule.mode or "after_check"
      local points, how
      if rule.by then
        local views = {}
        for i, g in ipairs(all) do views[i] = frames[g]:view(mode, pool) end
        points, how = exact(rule, all, views, ks)
      else
        points, how = drawn(rule, all, pool, ks, o)
      end
      for _, point in ipairs(points) do
        for _, what in ipairs(outcomes) do
          local r = intervals.mean_ci(per_task(all, point[what]), { bootstrap = 2000 })
          r.method, r.n_distinct = ("%s; %s of k"):format(r.method, how), n_distinct
          point[what] = r
        end
      end
      out[pool][rule.name] = points
    end
  end
  return out
end

return curve
