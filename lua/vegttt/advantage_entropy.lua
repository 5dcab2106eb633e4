-- SPDX-License-Identifier: Apache-2.0
--
-- An entropy bonus as a part of the advantage. The gradient of a token's entropy H = -sum p ln p is the mean over tokens
-- drawn from p of -(ln p) grad ln p, so on sampled tokens it is an advantage of -ln p each; a baseline takes nothing away
-- and most of the noise. beta (0.01) times that is added, per token, to what another advantage left:
--
--   mean over the batch of ln p, less the token's own
--
-- so that tokens that were less likely than most are pushed up, and the sum over the batch is 0. p is at temperature 1, as
-- the trainer's is; on the first update of a batch the two are equal bit for bit.
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"

local op = "vt.advantage.entropy_bonus"

---{ beta }: adds to advantages that are there.
return function(o)
  o = errors.options(op, o, { beta = "number" })
  local beta = errors.number(op, "beta", o.beta or 0.01, 0)
  return function(batch)
    local list, sum, n = groups.list(op, batch, "logprobs"), 0, 0
    for _, g in ipairs(list) do
      for _, s in ipairs(g) do
        if s.advantage == nil then
          errors.misuse(op, "%s: a sample has no advantage; call another vt.advantage function first", op)
        end
        if #s.logprobs > 0 then sum, n = sum + s.logprobs:sum(), n + #s.logprobs end
      end
    end
    local mean = n > 0 and sum / n or 0
    for _, g in ipairs(list) do
      for _, s in ipairs(g) do s.advantage = (mean - s.logprobs) * beta + s.advantage end
    end
    return batch
  end
end
