-- SPDX-License-Identifier: Apache-2.0
--
-- Advantages: factories of functions that turn .reward into .advantage, one number per sample, and return the groups.
local entropy_bonus = require "vegttt.advantage_entropy"
local kl_to_start = require "vegttt.advantage_kl"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local max_at_k = require "vegttt.advantage_max"

local advantage = {}

local epsilon = 1e-6

local function rewards(op, g)
  local values = {}
  for i, s in ipairs(g) do
    local r = s.reward or errors.misuse(op, "%s: a sample has no reward; call a vt.reward function first", op)
    values[i] = errors.number(op, "the reward of sample " .. i, r)
  end
  return values
end

-- Equal values are exactly so: the mean of eight times -1.1 is another number in its last bit, and a spread of 1e-16, which
-- is none, would move weights by rounding alone.
local function mean_sd(values)
  local n, sum, sum2 = #values, 0, 0
  local is_equal = true
  for _, v in ipairs(values) do
    sum = sum + v
    is_equal = is_equal and v == values[1]
  end
  if is_equal then return values[1] or 0, 0 end
  local mean = sum / math.max(n, 1)
  for _, v in ipairs(values) do sum2 = sum2 + (v - mean) ^ 2 end
  return mean, n > 1 and math.sqrt(sum2 / (n - 1)) or 0
end

-- What another advantage left out comes back.
local function as_groups(batch)
  local list = groups.list("vt.advantage", batch)
  for _, g in ipairs(list) do g.dropped = nil end
  return list
end

local function z_score(sets, op)
  for _, samples in ipairs(sets) do
    local values = rewards(op, samples)
    local mean, sd = mean_sd(values)
    for i, s in ipairs(samples) do s.advantage = (values[i] - mean) / math.max(sd, epsilon) end
  end
end

---z-score over all samples of the batch (the papers' choice): sample standard deviation, floor 1e-6.
function advantage.batch_z(o)
  errors.options("vt.advantage.batch_z", o, {})
  return function(batch)
    local all = {}
    for _, g in ipairs(as_groups(batch)) do table.move(g, 1, #g, #all + 1, all) end
    z_score({ all }, "vt.advantage.batch_z")
    return batch
  end
end

---z-score within each task.
function advantage.group_z(o)
  errors.options("vt.advantage.group_z", o, {})
  return function(batch)
    z_score(as_groups(batch), "vt.advantage.group_z")
    return batch
  end
end

---Leave-one-out: reward minus the mean of the group's others. drop_equal: groups of one reward, whose advantages are 0,
---are marked with .dropped, and vt.batch leaves them out.
function advantage.loo(o)
  o = errors.options("vt.advantage.loo", o, { drop_equal = "boolean" })
  return function(batch)
    for _, g in ipairs(as_groups(batch)) do
      local values = rewards("vt.advantage.loo", g)
      local mean, sd = mean_sd(values)
      local n = #g
      g.dropped = o.drop_equal and sd == 0 or nil
      for i, s in ipairs(g) do s.advantage = n > 1 and (values[i] - mean) * n / (n - 1) or 0 end
    end
    return batch
  end
end

-- beta at which the softmax of beta r is ln 2 away from uniform (bisection, at most 1e6).
local function adaptive_beta(values)
  local n, top = #values, math.max(table.unpack(values))
  local function divergence(beta)
    local z, kl = 0, 0
    for _, v in ipairs(values) do z = z + math.exp(beta * (v - top)) end
    for _, v in ipairs(values) do
      local p = math.exp(beta * (v - top)) / z
      if p > 0 then kl = kl + p * math.log(p * n) end
    end
    return kl
  end
  local lo, hi = 0, 1e6
  for _ = 1, 60 do
    local mid = (lo + hi) / 2
    if divergence(mid) < math.log(2) then lo = mid else hi = mid end
  end
  return (lo + hi) / 2
end

---Entropic: exp(beta (r - max)) over the leave-one-out mean of the same, minus 1. beta: a number (2) or "adaptive".
function advantage.entropic(o)
  o = errors.options("vt.advantage.entropic", o, { beta = "any" })
  if o.beta ~= nil and o.beta ~= "adaptive" then
    errors.number("vt.advantage.entropic", "beta (a number, or \"adaptive\")", o.beta, 0)
  end
  return function(batch)
    for _, g in ipairs(as_groups(batch)) do
      local values = rewards("vt.advantage.entropic", g)
      local _, sd = mean_sd(values)
      local n, sum, e = #g, 0, {}
      local beta = o.beta == "adaptive" and sd > 0 and adaptive_beta(values) or tonumber(o.beta) or 2
      local top = n > 0 and math.max(table.unpack(values)) or 0
      for i, v in ipairs(values) do
        e[i] = math.exp(beta * (v - top))
        sum = sum + e[i]
      end
      for i, s in ipairs(g) do
        s.advantage = (n > 1 and sd > 0) and e[i] / math.max((sum - e[i]) / (n - 1), 1e-12) - 1 or 0
      end
    end
    return batch
  end
end

---Of the expected best of k samples: how much a sample raises the best of a random k of its group. k: 8, or the whole of a
---smaller group.
function advantage.max_at_k(o)
  o = errors.options("vt.advantage.max_at_k", o, { k = "integer" })
  if o.k and o.k < 1 then errors.misuse("vt.advantage.max_at_k", "vt.advantage.max_at_k: k must be at least 1, not %d", o.k) end
  return function(batch)
    for _, g in ipairs(as_groups(batch)) do
      for i, a in ipairs(max_at_k(rewards("vt.advantage.max_at_k", g), o.k or math.min(8, math.max(#g, 1)))) do g[i].advantage = a end
    end
    return batch
  end
end

---entropic{ beta = "adaptive" } under a name of its own, for scripts whose parameters name an advantage.
function advantage.entropic_adaptive(o)
  errors.options("vt.advantage.entropic_adaptive", o, {})
  return advantage.entropic { beta = "adaptive" }
end

advantage.kl_to_start, advantage.entropy_bonus = kl_to_start, entropy_bonus

---The papers': z-score over the batch, the same for every token.
function advantage.paper(o)
  errors.options("vt.advantage.paper", o, {})
  return advantage.batch_z {}
end

---What the experiments use unless told otherwise: leave-one-out within the task, groups of one reward left out.
function advantage.default(o)
  errors.options("vt.advantage.default", o, {})
  return advantage.loo { drop_equal = true }
end

---The reward itself.
function advantage.none(o)
  errors.options("vt.advantage.none", o, {})
  return function(batch)
    for _, g in ipairs(as_groups(batch)) do
      local values = rewards("vt.advantage.none", g)
      for i, s in ipairs(g) do s.advantage = values[i] end
    end
    return batch
  end
end

return advantage
