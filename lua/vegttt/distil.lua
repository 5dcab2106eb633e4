-- SPDX-License-Identifier: Apache-2.0
--
-- Distillation over the head of the distribution, as SDPO's authors ship it: at each position the k tokens that the student
-- finds likeliest, and one bucket for all others, and between the two distributions the Jensen-Shannon divergence
--
--   J = alpha KL(q || m) + (1 - alpha) KL(p || m),  m = (1 - alpha) p + alpha q,
--
-- p the student's, q the teacher's. Its gradient is (1 - alpha) sum_v p_v ln(p_v / m_v) grad ln p_v over the k and the
-- bucket, and the bucket's p grad ln p is minus the sum of the others'; so a weight for each of the k tokens says it all:
--
--   w_v = -(1 - alpha) p_v (ln(p_v / m_v) - ln(p_rest / m_rest)),  L = -sum w ln p
--
-- which is the loss cross_entropy over these targets. alpha = 1 stands for KL(p || q), the limit of J / (1 - alpha).
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local op = "vt.distil"
local least = 1e-12 -- of the bucket: the k may hold everything there is

local function rest(logprobs, from, k)
  local sum = 0
  for j = from, from + k - 1 do sum = sum + math.exp(logprobs[j]) end
  return math.max(1 - sum, least)
end

---vt.distil(student, teacher, k, alpha) -> weights of the targets, k a position: both are log-probabilities of the student's
---k likeliest tokens at each position.
return function(student, teacher, k, alpha)
  errors.number(op, "k", k, 1, nil, true)
  errors.number(op, "alpha", alpha, 0, 1)
  if #student ~= #teacher or #student % k ~= 0 then
    errors.misuse(op, "%s: %d and %d log-probabilities are not k = %d of each position", op, #student, #teacher, k)
  end
  if alpha == 0 then errors.misuse(op, "%s: alpha must be above 0: at 0 the mixture is the student, and there is nothing to learn", op) end
  local scale, out = alpha < 1 and 1 - alpha or 1, {}
  -- ln(p / m), exactly 0 where the two agree.
  local function log_ratio(q_over_p) return q_over_p == 1 and 0 or -math.log(1 - alpha + alpha * q_over_p) end
  for from = 1, #student, k do
    local of_rest = log_ratio(rest(teacher, from, k) / rest(student, from, k))
    for j = from, from + k - 1 do
      local p = student[j]
      out[j] = -scale * math.exp(p) * (log_ratio(math.exp(teacher[j] - p)) - of_rest)
    end
  end
  return core.vector(out)
end
