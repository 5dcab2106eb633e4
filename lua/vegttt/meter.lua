-- SPDX-License-Identifier: Apache-2.0
--
-- The meter: what a method costs. `charged` counts as if the method ran alone (the prompt once per sample, every
-- evaluation asked for); `spent` counts what this run really did, after sharing and reuse, over all its attempts.
-- Tokens are counted by what was done (sampled, scored, update_tokens) and those sampled or scored also by who is billed
-- (student, teacher).
--
-- A budget is of the rollouts that are charged, or of those that are spent. What a group of samples will add is reserved before
-- it is asked for, so that groups drawn at once pass no limit together, and given back when it is counted or has failed.
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
  return setmetatable({ charged = zeros(), spent = zeros(), reserved = { charged = 0, spent = 0 }, limits = limits or {} }, Meter)
end

function Meter:charge(amounts)
  for k, v in pairs(amounts) do self.charged[k] = self.charged[k] + v end
end

function Meter:spend(amounts)
  for k, v in pairs(amounts) do self.spent[k] = self.spent[k] + v end
end

-- The limit of what is charged or spent.
local limit_of = { charged = "max_rollouts", spent = "max_spent" }

---How many rollouts the limit leaves beside what is counted and reserved; nil without a limit. what: "charged" or "spent".
function Meter:rollouts_left(what)
  local max = self.limits[limit_of[what]]
  return max and math.max(0, max - self[what].rollouts - self.reserved[what])
end

---Raises a budget error when `n` more rollouts would pass the limit, once those that are reserved are counted.
function Meter:check_rollouts(n, op, what)
  local left = self:rollouts_left(what)
  if left and n > left then
    local format = "the budget of %d rollouts leaves %d (%d %s), and %d more are asked for; raise --%s to go on"
    errors.raise("budget", op, format:format(self.limits[limit_of[what]], left, self[what].rollouts, what, n, (limit_of[what]:gsub("_", "-"))))
  end
end

-- [waits] Until something reserved is given back.
local function await_release(self, op)
  self.released = self.released or sched.future()
  sched.await(self.released, op)
end

local function release(self, n, what)
  local waited = self.released
  self.reserved[what], self.released = self.reserved[what] - n, nil
  if waited then waited:settle(true) end
end

---[waits] fn(…) while `n` rollouts of the budget are held for it. Where it leaves too few, what is reserved is waited for: it
---may be given back, and if it is not, it is counted and recorded before the refusal ends the run.
function Meter:holding(n, op, what, fn, ...)
  while self.reserved[what] > 0 and n > (self:rollouts_left(what) or n) do await_release(self, op) end
  self:check_rollouts(n, op, what)
  self.reserved[what] = self.reserved[what] + n
  local results = table.pack(pcall(fn, ...))
  release(self, n, what)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

---[waits] fn(rest, …) while all that the limit leaves is held for it, a part of the run that counts for itself: how much that
---is, nil without a limit.
function Meter:holding_rest(op, what, fn, ...)
  if not self.limits[limit_of[what]] then return fn(nil, ...) end
  while self.reserved[what] > 0 do await_release(self, op) end
  local rest = self:rollouts_left(what)
  return self:holding(rest, op, what, fn, rest, ...)
end

function Meter:copy()
  local out = { charged = {}, spent = {} }
  for k, v in pairs(self.charged) do out.charged[k] = v end
  for k, v in pairs(self.spent) do out.spent[k] = v end
  return out
end

return meter
