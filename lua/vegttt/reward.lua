-- SPDX-License-Identifier: Apache-2.0
--
-- Rewards: factories of functions that set .reward on every sample of a batch and return the groups. Each is a pure
-- function of the ordered batch, so a replay gives the same numbers.
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local list = require "vegttt.list"

local reward = {}

local function speedup(s)
  if not s.result then errors.misuse("vt.reward", "a reward needs verdicts: call vt.eval.all(groups) first") end
  return s.result.correct and errors.number("vt.reward", "the speedup of a sample", s.result.speedup, 0) or 0
end

local function each(batch, fn)
  for _, g in ipairs(groups.list("vt.reward", batch)) do
    for _, s in ipairs(g) do s.reward = fn(s, g) end
  end
end

---Speedup when correct, else 0.
function reward.raw(o)
  errors.options("vt.reward.raw", o, {})
  return function(batch)
    each(batch, speedup)
    return batch
  end
end

---Raw, at most `max` (10), so that one outlier is not the whole gradient.
function reward.clip(o)
  o = errors.options("vt.reward.clip", o, { max = "number" })
  local max = o.max == math.huge and o.max or errors.number("vt.reward.clip", "max", o.max or 10, 0)
  return function(batch)
    each(batch, function(s) return math.min(speedup(s), max) end)
    return batch
  end
end

---log(speedup) + correct_bonus when correct. Failures get `floor`: a number, or "batch_min-1" (default): one less than
---the lowest correct reward of the batch, or than 0 where that is lower.
function reward.log(o)
  o = errors.options("vt.reward.log", o, { floor = "any", correct_bonus = "number" })
  local bonus = errors.number("vt.reward.log", "correct_bonus", o.correct_bonus or 0)
  if type(o.floor) == "number" then errors.number("vt.reward.log", "floor", o.floor) end
  if o.floor ~= nil and type(o.floor) ~= "number" and o.floor ~= "batch_min-1" then
    errors.misuse("vt.reward.log", "vt.reward.log: floor must be a number or \"batch_min-1\"")
  end
  local function value(s) return math.log(speedup(s)) + bonus end
  return function(batch)
    local floor = o.floor or "batch_min-1"
    if floor == "batch_min-1" then
      local lowest = 0
      each(batch, function(s)
        if speedup(s) > 0 then lowest = math.min(lowest, value(s)) end
      end)
      floor = lowest - 1
    end
    each(batch, function(s) return speedup(s) > 0 and value(s) or floor end)
    return batch
  end
end

local function median(values)
  table.sort(values)
  local n = #values
  if n == 0 then return 1 end
  return n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
end

---Speedup over the median speedup of the task's correct samples in this batch.
function reward.normalized(o)
  errors.options("vt.reward.normalized", o, {})
  return function(batch)
    for _, g in ipairs(groups.list("vt.reward", batch)) do
      local values = {}
      for _, s in ipairs(list.filter(g, function(s) return speedup(s) > 0 end)) do values[#values + 1] = speedup(s) end
      local m = median(values)
      each({ g }, function(s) return speedup(s) / m end)
    end
    return batch
  end
end

---The papers' normaliser: each correct sample over the running median of its task's earlier ones, starting from 1.
function reward.paper(o)
  errors.options("vt.reward.paper", o, {})
  return function(batch)
    for _, g in ipairs(groups.list("vt.reward", batch)) do
      local earlier = {}
      each({ g }, function(s)
        local x = speedup(s)
        if x == 0 then return 0 end
        local r = x / median(table.move(earlier, 1, #earlier, 1, {}))
        earlier[#earlier + 1] = x
        return r
      end)
    end
    return batch
  end
end

---What the experiments use unless told otherwise: clip at 10.
function reward.default() return reward.clip { max = 10 } end

return reward
