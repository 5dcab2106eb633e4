-- SPDX-License-Identifier: Apache-2.0
--
-- The meter: what a method costs. `charged` counts as if the method ran alone (the prompt once per sample, every
-- evaluation asked for); `spent` counts what this run really did, after sharing and reuse, over all its attempts.
-- Tokens are counted by what was done (sampled, scored, update_tokens) and those sampled or scored also by who is billed
-- (student, teacher).
--
-- A budget is of what is charged. What a group of samples will be charged is reserved before it is asked for, so that
-- groups drawn at once pass no limit together, and given back when it is charged or has failed.
--
-- A limit of money is of what is spent, over all attempts: what a request to a service can cost at most is held while it
-- is under way.
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"

local Meter = {}
Meter.__index = Meter

local meter = {}
local units = { "rollouts", "evaluations", "prompt_tokens", "sampled_tokens", "scored_tokens", "student_tokens", "teacher_tokens",
  "update_tokens", "cached_tokens", "gpu_s", "usd" }

meter.units = units

local function zeros()
  local t = {}
  for _, u in ipairs(units) do t[u] = 0 end
  return t
end

function meter.new(limits)
  return setmetatable({ charged = zeros(), spent = zeros(), reserved = 0, held_usd = 0, limits = limits or {} }, Meter)
end

function Meter:charge(amounts)
  for k, v in pairs(amounts) do self.charged[k] = self.charged[k] + v end
end

function Meter:spend(amounts)
  for k, v in pairs(amounts) do self.spent[k] = self.spent[k] + v end
end

---How many rollouts the limit leaves beside what is charged and reserved; nil without a limit.
function Meter:rollouts_left()
  local max = self.limits.max_rollouts
  return max and math.max(0, max - self.charged.rollouts - self.reserved)
end

---Raises a budget error when `n` more rollouts would pass the limit, once those that are reserved are charged.
function Meter:check_rollouts(n, op)
  local left = self:rollouts_left()
  if left and n > left then
    local format = "the budget of %d rollouts leaves %d (%d charged), and %d more are asked for; raise --max-rollouts to go on"
    errors.raise("budget", op, format:format(self.limits.max_rollouts, left, self.charged.rollouts, n))
  end
end

---[waits] Holds `n` rollouts of the budget until Meter:release(n). Where it leaves too few, what is reserved is waited for:
---it may be given back, and if it is not, it is charged and recorded before the refusal ends the run.
function Meter:reserve(n, op)
  while self.reserved > 0 and n > (self:rollouts_left() or n) do
    self.released = self.released or sched.future()
    sched.await(self.released, op)
  end
  self:check_rollouts(n, op)
  self.reserved = self.reserved + n
end

---[waits] Reserves all that the limit leaves, for a part of the run that counts for itself: how much that is, nil without a
---limit.
function Meter:reserve_rest(op)
  if not self.limits.max_rollouts then return nil end
  while self.reserved > 0 do
    self.released = self.released or sched.future()
    sched.await(self.released, op)
  end
  self.reserved = self:rollouts_left()
  return self.reserved
end

local function wake(self)
  local waited = self.released
  self.released = nil
  if waited then waited:settle(true) end
end

function Meter:release(n)
  self.reserved = self.reserved - n
  wake(self)
end

---Dollars that the limit leaves beside what is spent and held; nil without a limit.
function Meter:usd_left()
  local max = self.limits.max_spend
  return max and math.max(0, max - self.spent.usd - self.held_usd)
end

---[waits] Holds dollars until Meter:let_go(usd). Where the limit leaves too few, what is held is waited for.
function Meter:hold_usd(usd, op)
  while self.held_usd > 0 and usd > (self:usd_left() or usd) do
    self.released = self.released or sched.future()
    sched.await(self.released, op)
  end
  local left = self:usd_left()
  if left and usd > left then
    errors.raise("budget", op, ("the limit of $%.4f leaves $%.4f ($%.4f spent), and what is asked for may cost $%.4f; raise "
      .. "--max-spend to go on"):format(self.limits.max_spend, left, self.spent.usd, usd))
  end
  self.held_usd = self.held_usd + usd
end

---[waits] Holds all that the limit leaves, as Meter:reserve_rest.
function Meter:hold_rest(op)
  if not self.limits.max_spend then return nil end
  while self.held_usd > 0 do
    self.released = self.released or sched.future()
    sched.await(self.released, op)
  end
  self.held_usd = self:usd_left()
  return self.held_usd
end

function Meter:let_go(usd)
  self.held_usd = self.held_usd - usd
  wake(self)
end

function Meter:copy()
  local out = { charged = {}, spent = {} }
  for k, v in pairs(self.charged) do out.charged[k] = v end
  for k, v in pairs(self.spent) do out.spent[k] = v end
  return out
end

return meter
