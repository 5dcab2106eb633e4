-- SPDX-License-Identifier: Apache-2.0
--
-- A pull back to other weights, as a part of the advantage: "KL to start". The sampled tokens are scored under the
-- reference (teacher tokens, charged as such); with lq the sampler's log-probabilities and lref the reference's, beta
-- times a pull per token is added to what another advantage left.
--
--   "centred"  mean over the batch of (lq - lref), less the token's own: tokens that grew more than most are pushed back;
--              its sum over the batch is 0, so it moves no probability mass on the whole
--   "k3"       exp(lref - lq) - 1, the gradient of the k3 estimate of KL(sampler || reference), which is never negative
--
-- On the first update of a batch the trainer's log-probabilities are the sampler's bit for bit, so this is the same as
-- the term in the loss.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local policy = require "vegttt.policy"

local op = "vt.advantage.kl_to_start"

-- lq - lref of each sample, and their mean over all tokens.
local function differences(batch, start)
  local of, sum, n = {}, 0, 0
  for _, g in ipairs(batch) do
    for _, s in ipairs(g) do
      local d = s.logprobs - start:score(policy.prompt_of(s, g), s.tokens, { bill = "teacher" })
      of[s] = d
      if #d > 0 then sum, n = sum + d:sum(), n + #d end
    end
  end
  return of, n > 0 and sum / n or 0
end

---{ start = weights, beta, form = "centred" | "k3" }: adds to advantages that are there. [waits]
return function(o)
  o = errors.options(op, o, { start = "table", beta = "number", form = { "centred", "k3" } })
  if not o.start then errors.misuse(op, "%s needs start = policy:start(), the weights to stay near", op) end
  local beta = o.beta or core.losses.importance_sampling.beta
  if not (beta >= 0 and beta < math.huge) then errors.misuse(op, "%s: beta must be 0 or more, not %s", op, tostring(beta)) end
  return function(batch)
    local list = groups.list(op, batch, "tokens", "logprobs")
    for _, g in ipairs(list) do
      for _, s in ipairs(g) do
        if s.advantage == nil then
          errors.misuse(op, "%s: a sample has no advantage; call another vt.advantage function first", op)
        end
      end
    end
    local of, mean = differences(list, o.start)
    for _, g in ipairs(list) do
      for _, s in ipairs(g) do
        local d = of[s]
        local pull = o.form == "k3" and (-d):exp() - 1 or mean - d
        s.advantage = pull * beta + s.advantage
      end
    end
    return batch
  end
end
