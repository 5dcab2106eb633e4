-- SPDX-License-Identifier: Apache-2.0
--- Power sampling: answers from p^alpha instead of from p token by token, by Metropolis steps that redraw the end of an
--- answer (Karan and Du, arXiv 2510.14901). Low temperature sharpens each token; this sharpens whole answers.
local vt = require "vegttt"

-- Where an answer may be cut: before any of its tokens, but not inside a stop string, which the rest would not see.
local function cuts(policy, s, stops)
  local out = { 0 }
  for n = 1, s.n_tokens - 1 do
    local text, is_free = policy:decode(table.move(s.tokens, 1, n, 1, {})), true
    for _, stop in ipairs(stops) do
      for length = 1, #stop - 1 do is_free = is_free and text:sub(-length) ~= stop:sub(1, length) end
    end
    if is_free then out[#out + 1] = n end
  end
  return out
end

-- Sums over the tokens from n + 1 on.
local function tail(v, n)
  local sum = 0
  for t = n + 1, #v do sum = sum + v[t] end
  return sum
end

-- One Metropolis step of a chain: a proposal at T = 1/alpha from a uniformly chosen cut, accepted with probability
-- min(1, p(x')^alpha q(x|x') / (p(x)^alpha q(x'|x))); where both end differently, the number of cuts is part of q.
local function step(chain, i, weights, policy, stops, p)
  local rng = chain.rng
  local here = cuts(policy, chain.x, stops)
  local n = rng:pick(here)
  local y = weights:resample(chain.x, n, vt.sampling(p, { n = 1, temperature = 1 / p.alpha,
    draw = ("chain%d/%d"):format(chain.number, i) }))[1]
  local there = cuts(policy, y, stops)
  local log_r = p.alpha * (tail(y.logprobs, n) - tail(chain.x.logprobs, n))
    + tail(chain.x.logprobs_behaviour, n) - tail(y.logprobs_behaviour, n) + math.log(#here / #there)
  chain.n_new = chain.n_new + y.n_tokens - n
  if math.log(rng:uniform()) < log_r then chain.x, chain.n_taken = y, chain.n_taken + 1 end
end

return vt.experiment {
  name = "power",
  doc = "Sample from p^alpha by Metropolis resampling of suffixes, beside temperature 1/alpha at the same number of answers.",
  takes = "44 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.task_params {
    k = { 4, "chains, and answers, per task", min = 1 },
    alpha = { 4.0, "the power; the proposal's temperature is 1/alpha (the papers' T = 0.25)", above = 0 },
    temperature = false, -- alpha says it
    moves = { 6, "Metropolis steps of each chain", min = 0 },
    tasks = { "4,28", "problem ids or task files; empty = the whole subset", list = true },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    return { tasks = tasks, samples = #tasks * p.k * (1 + p.moves), evaluations = 2 * #tasks * p.k }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model):need("tokens", "logprobs") -- answers are cut at tokens
    local weights, stops = policy:start(), p.stop or policy.record.stop or {}
    run:stage "low temperature"
    local cold = vt.draw(weights, tasks, p, { temperature = 1 / p.alpha })
    run:stage "Metropolis steps"
    local n_new, n_taken, powered = 0, 0, {}
    for i, group in ipairs(cold) do
      local chains = {}
      for j, s in ipairs(group) do
        chains[j] = { x = s, number = j, n_new = 0, n_taken = 0, rng = run:rng(("chain/%d/%d"):format(group.task.id, j)) }
      end
      vt.map(chains, function(chain)
        for m = 1, p.moves do step(chain, m, weights, policy, stops, p) end
      end)
      powered[i] = {}
      for j, chain in ipairs(chains) do
        powered[i][j], n_new, n_taken = chain.x, n_new + chain.n_new, n_taken + chain.n_taken
      end
      vt.eval.all(vt.filter(powered[i], function(s) return not s.result end))
    end

    local t = run:table("arms", { "arm", "answers", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1", "no_copies", "per_code",
      "distinct", "nll" })
    for _, arm in ipairs { { "temperature", cold }, { "power", powered } } do
      local s = vt.scores(arm[2])
      t:row(arm[1], s.n, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.no_copies, s.per_code, s.distinct, s.nll)
      run:statistics(arm[1], arm[2])
    end
    local n_moves = #tasks * p.k * p.moves
    return { accepted = n_moves > 0 and n_taken / n_moves or nil, extra_tokens = n_new }
  end,
}
