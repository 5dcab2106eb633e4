-- SPDX-License-Identifier: Apache-2.0
--
-- The meter: what a method costs. `charged` counts as if the method ran alone (the prompt once per sample, every
-- evaluation asked for); `spent` counts what this run really did, after sharing and reuse, over all its attempts.
-- Tokens are counted by what was done (sampled, scored, update_tokens) and those sampled or scored also by who is billed
-- (student, teacher).
--
-- A budget is of what is charged. What a group of samples will be charged is reserved before it is asked for, so that
-- groups drawn at once pass no limit together, and given back when it is charged or has failed.
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"

local Meter = {}
Meter.__index = Meter

local meter = {}
local units = { "rollouts", "evaluations", "prompt_tokens", "sampled_tokens", "scored_tokens", "student_tokens", "teacher_tokens",
  "update_tokens", "gpu_s", "usd" }

meter.units = units

local function zeros()
  local t = {}
  for _, u in ipairs(units) do t[u] = 0 end
  return t
end

function meter.new(limits)
  return setmetatable({ charged = zeros(), spent = zeros(), reserved = 0, limits = limits or {} }, Meter)
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

function Meter:release(n)
  local waited = self.released
  self.reserved, self.released = self.reserved - n, nil
  if waited then waited:settle(true) end
end

function Meter:copy()
  local out = { charged = {}, spent = {} }
  for k, v in pairs(self.charged) do out.charged[k] = v end
  for k, v in pairs(self.spent) do out.spent[k] = v end
  return out
end

return meter
