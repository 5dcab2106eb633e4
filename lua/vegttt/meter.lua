-- SPDX-License-Identifier: Apache-2.0
--
-- The meter: what a method costs. `charged` counts as if the method ran alone (the prompt once per sample, every
-- evaluation asked for); `spent` counts what this run really did, after sharing and reuse, over all its attempts.
-- Tokens are counted by what was done (sampled, scored, update_tokens) and those sampled or scored also by who is billed
-- (student, teacher).
local errors = require "vegttt.errors"

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
  return setmetatable({ charged = zeros(), spent = zeros(), limits = limits or {} }, Meter)
end

function Meter:charge(amounts)
  for k, v in pairs(amounts) do self.charged[k] = self.charged[k] + v end
end

function Meter:spend(amounts)
  for k, v in pairs(amounts) do self.spent[k] = self.spent[k] + v end
end

---Raises a budget error when `n` more rollouts would pass the limit.
function Meter:check_rollouts(n, op)
  local max = self.limits.max_rollouts
  if max and self.charged.rollouts + n > max then
    local format = "the budget of %d rollouts is spent (%d charged, %d more asked for); raise --max-rollouts to go on"
    errors.raise("budget", op, format:format(max, self.charged.rollouts, n))
  end
end

function Meter:copy()
  local out = { charged = {}, spent = {} }
  for k, v in pairs(self.charged) do out.charged[k] = v end
  for k, v in pairs(self.spent) do out.spent[k] = v end
  return out
end

return meter
