-- SPDX-License-Identifier: Apache-2.0
--
-- The meter: what a method costs. `charged` counts as if the method ran alone (the prompt once per sample, every
-- evaluation asked for); `spent` counts what this run really did, after sharing and reuse, over all its attempts.
-- Tokens are counted by what was done (sampled, scored, update_tokens) and those sampled or scored also by who is billed
-- (student, teacher).
--
-- Limits are of rollouts that are charged (--max-rollouts), of samples that are drawn here (--max-drawn), and of money, which is of
-- what is spent over all attempts (--max-spend). What something can add at most is held before it is asked for, so that
-- groups drawn at once pass no limit together, and given back when it is counted or has failed.
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
  return setmetatable({ charged = zeros(), spent = zeros(), held = { charged = 0, drawn = 0, usd = 0 }, limits = limits or {} }, Meter)
end

function Meter:charge(amounts)
  for k, v in pairs(amounts) do self.charged[k] = self.charged[k] + v end
end

function Meter:spend(amounts)
  for k, v in pairs(amounts) do self.spent[k] = self.spent[k] + v end
end

-- Kinds of limits: its name, what is counted, and how the refusal of more is put: limit, rest, counted, asked for.
local kinds = {
  charged = { limit = "max_rollouts", counted = function(m) return m.charged.rollouts end,
    says = "the budget of %d rollouts leaves %d (%d charged), and %d more are asked for; raise --max-rollouts to go on" },
  drawn = { limit = "max_drawn", counted = function(m) return m.spent.rollouts end,
    says = "the limit of %d samples drawn here leaves %d (%d drawn), and %d more are asked for; raise --max-drawn to go on" },
  usd = { limit = "max_spend", counted = function(m) return m.spent.usd end,
    says = "the limit of $%.4f leaves $%.4f ($%.4f spent), and what is asked for may cost $%.4f; raise --max-spend to go on" },
}

---How much the limit leaves beside what is counted and held; nil without a limit.
function Meter:left(kind)
  local max = self.limits[kinds[kind].limit]
  return max and math.max(0, max - kinds[kind].counted(self) - self.held[kind])
end

---Raises a budget error when n more would pass the limit, once what is held is counted.
function Meter:check(kind, n, op)
  local left, k = self:left(kind), kinds[kind]
  if left and n > left then errors.raise("budget", op, k.says:format(self.limits[k.limit], left, k.counted(self), n)) end
end

-- [waits] Until something that is held is given back.
local function await_release(self, op)
  self.released = self.released or sched.future()
  sched.await(self.released, op)
end

---[waits] Holds n until Meter:release. Where the limit leaves too little, what is held is waited for: it may be given back, and
---if it is not, it is counted and recorded before the refusal ends the run.
function Meter:hold(kind, n, op)
  while self.held[kind] > 0 and n > (self:left(kind) or n) do await_release(self, op) end
  self:check(kind, n, op)
  self.held[kind] = self.held[kind] + n
end

---[waits] Holds all that the limit leaves, for a part of the run that counts for itself: how much that is, nil without a limit.
function Meter:hold_rest(kind, op)
  if not self.limits[kinds[kind].limit] then return nil end
  while self.held[kind] > 0 do await_release(self, op) end
  self.held[kind] = self:left(kind)
  return self.held[kind]
end

function Meter:release(kind, n)
  local waited = self.released
  self.held[kind], self.released = self.held[kind] - n, nil
  if waited then waited:settle(true) end
end

---[waits] fn(…) while n are held for it.
function Meter:holding(kind, n, op, fn, ...)
  self:hold(kind, n, op)
  local results = table.pack(pcall(fn, ...))
  self:release(kind, n)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

function Meter:copy()
  local out = { charged = {}, spent = {} }
  for k, v in pairs(self.charged) do out.charged[k] = v end
  for k, v in pairs(self.spent) do out.spent[k] = v end
  return out
end

return meter
