-- SPDX-License-Identifier: Apache-2.0
--
-- What a script asks for reaches the engine. An option that gets lost on its way changes nothing that a script notices
-- by itself: each one here is told by a number that only it can make.
local core = require "vegttt.core"
local small = require "support_tasks"
local support = require "support"

local function inside(fn, given, o)
  support.inside(function(run, p, vt) fn(vt, vt.policy(p.model), vt.task(small.same), p, run) end, given, o)
end

-- Samples of the likeliest answer, all with the same advantage; by: what the sampler's log-probabilities are made
-- larger by, so that every ratio is exp(-by).
local function batch_of(vt, policy, task, n, by, advantage)
  local g = policy:start():sample(task:prompt(), { n = n, temperature = 0.0, again = true })
  for _, s in ipairs(g) do
    s.advantage = advantage or 1
    s.logprobs = s.logprobs + by
  end
  return vt.batch(g)
end

-- The report of one update, from the start.
local function updated(policy, batch, o)
  o.lr = o.lr or 1e-3
  return policy:branch(policy:start()):update(batch, o)
end

describe("updates", function()
  it("of one policy queue, however many are asked for at once", function()
    inside(function(vt, policy, task)
      local batch = batch_of(vt, policy, task, 2, 0)
      local one, many = policy:branch(policy:start()), policy:branch(policy:start())
      local last
      for i = 1, 3 do last = one:update(batch, { lr = i * 1e-3 }).weights.id end
      local steps = vt.map({ 1, 2, 3 }, function(i) return many:update(batch, { lr = i * 1e-3 }).weights.step end)
      expect.same(steps, { 1, 2, 3 })
      expect.equal(many:snapshot("many").id, last)
    end)
  end)

  it("of adapters of another rank are other weights, in one run too", function()
    inside(function(vt, policy, task, p)
      local batch = batch_of(vt, policy, task, 2, 0)
      local ids, n = {}, 0
      for _, o in ipairs { {}, { rank = 4 }, { rank = 8 }, { alpha = 8.0 }, { targets = { "q", "v" } } } do
        local other = vt.policy(p.model, o)
        ids[other:update(batch, { lr = 1e-3 }).weights.id] = true
      end
      for _ in pairs(ids) do n = n + 1 end
      expect.equal(n, 5)
      expect.raises("rank must be a whole number from 1", vt.policy, p.model, { rank = 0 })
      expect.raises("alpha must be", vt.policy, p.model, { alpha = 0 / 0 })
      expect.raises("alpha must be above 0", vt.policy, p.model, { alpha = 0.0 })
      expect.raises("targets names no part", vt.policy, p.model, { targets = {} })
    end)
  end)
end)

describe("an option of an update", function()
  it("has its own weights: weight_decay, grad_clip, lr", function()
    inside(function(vt, policy, task)
      local batch, ids, n = batch_of(vt, policy, task, 2, 0), {}, 0
      for _, o in ipairs { {}, { weight_decay = 0.5 }, { grad_clip = 1e-3 }, { lr = 2e-3 } } do
        ids[updated(policy, batch, o).weights.id] = true
      end
      for _ in pairs(ids) do n = n + 1 end
      expect.equal(n, 4)
    end)
  end)

  it("bounds the ratio: clip_lo, clip_hi", function()
    inside(function(vt, policy, task)
      local high, low = batch_of(vt, policy, task, 2, -0.5), batch_of(vt, policy, task, 2, 0.5)
      local function loss(batch, o)
        o.loss = "cispo"
        return updated(policy, batch, o).loss
      end
      local plain = updated(policy, high, { loss = "cross_entropy" }).loss -- every weight is the advantage
      expect.near(loss(high, {}) / plain, 1.2, 1e-3)
      expect.near(loss(high, { clip_hi = 1.5 }) / plain, 1.5, 1e-3)
      expect.near(loss(high, { clip_hi = 9, clip_lo = 0.1 }) / plain, math.exp(0.5), 1e-3)
      expect.near(loss(low, {}) / plain, 0.8, 1e-3)
      expect.near(loss(low, { clip_lo = 0.7 }) / plain, 0.7, 1e-3)
    end)
  end)

  it("pulls towards the sampler: beta", function()
    inside(function(vt, policy, task)
      local batch = batch_of(vt, policy, task, 2, -0.5)
      local plain = updated(policy, batch, { loss = "cross_entropy" }).loss
      expect.near(updated(policy, batch, { loss = "dro" }).loss / plain, 1 - 0.05 * 0.5, 1e-3)
      expect.near(updated(policy, batch, { loss = "dro", beta = 0.4 }).loss / plain, 1 - 0.4 * 0.5, 1e-3)
    end)
  end)

  it("says how far sampler and trainer are apart, and which way", function()
    inside(function(vt, policy, task)
      local above = updated(policy, batch_of(vt, policy, task, 2, 0.5), {})
      expect.near(above.kl_sample_train, 0.5, 1e-3)
      expect.near(above.ess, 1, 1e-6)
      local below = updated(policy, batch_of(vt, policy, task, 2, -0.25), {})
      expect.near(below.kl_sample_train, -0.25, 1e-3)
    end)
  end)

  it("is the effective share of unequal ratios: (sum of ratios)^2 / (n sum of squares)", function()
    inside(function(vt, policy, task)
      local g = policy:start():sample(task:prompt(), { n = 2, temperature = 0.0, again = true })
      for i, s in ipairs(g) do
        s.advantage = 1
        s.logprobs = s.logprobs - (i == 1 and math.log(3) or 0)
      end
      -- half of the tokens have ratio 3, half 1
      expect.near(updated(policy, vt.batch(g), {}).ess, (3 + 1) ^ 2 / (2 * (9 + 1)), 1e-3)
    end)
  end)

  it("takes an advantage for each token", function()
    inside(function(vt, policy, task)
      local g = policy:start():sample(task:prompt(), { n = 1, temperature = 0.0, again = true })
      local values = {}
      for t = 1, g[1].n_tokens do values[t] = t == 1 and 1.0 or 5.0 end
      g[1].advantage = vt.vector(values)
      local report = updated(policy, vt.batch(g), {})
      expect.near(report.max_advantage, 5, 1e-6)
      expect.near(report.rms_advantage, math.sqrt((1 + 25 * (#values - 1)) / #values), 1e-6)
    end)
  end)

  it("takes as many steps as epochs and minibatches make, the last one smaller", function()
    inside(function(vt, policy, task)
      local batch = batch_of(vt, policy, task, 5, 0)
      local p = policy:branch(policy:start())
      p:update(batch, { lr = 1e-3, epochs = 2, minibatch = 2 })
      expect.equal(p:snapshot("end").step, 6)
    end)
  end)

  it("moves the policy by all of its steps or by none", function()
    inside(function(vt, policy, task)
      local batch = batch_of(vt, policy, task, 4, 0)
      local p, n, met = policy:branch(policy:start()), 0, {}
      local before = p:snapshot "before"
      local function loss(seq)
        n, met[p.weights.id] = n + 1, true
        if n == 4 then error "the fourth sequence is bad" end
        return seq.logp
      end
      expect.raises("the fourth sequence is bad", p.update, p, batch, { lr = 1e-3, minibatch = 1, loss = loss })
      expect.equal(n, 4)
      expect.equal(p:snapshot("after").id, before.id)
      p:update(batch, { lr = 1e-3, minibatch = 1 })
      expect.equal(p:snapshot("end").step, 4)
      expect.same(met, { [before.id] = true })
    end)
  end)

  it("refuses a tempered ratio of a tempered sample", function()
    inside(function(vt, policy, task)
      local g = policy:start():sample(task:prompt(), { n = 2, temperature = 0.5 })
      for _, s in ipairs(g) do s.advantage = 1 end
      expect.raises("would divide a T = 1 trainer", updated, policy, vt.batch(g), { ratio = "tempered" })
    end)
  end)
end)

describe("an option of sampling", function()
  it("stops at any of several strings", function()
    inside(function(_, policy, task)
      local s = policy:start():sample(task:prompt(), { n = 1, temperature = 0.0, stop = { "nowhere", "n;" } })[1]
      expect.equal(s.text, "  for (int i = 0; i < ")
    end)
  end)

  it("names the samples: those of another top_k, min_p or stop are others", function()
    inside(function(_, policy, task)
      local keys, n = {}, 0
      for _, o in ipairs { {}, { top_k = 5 }, { min_p = 0.01 }, { stop = { "x" } }, { top_p = 0.9 }, { max_tokens = 9 },
        { temperature = 0.5 } } do
        o.n = 1
        keys[policy:start():sample(task:prompt(), o)[1].key] = true
      end
      for _ in pairs(keys) do n = n + 1 end
      expect.equal(n, 7)
    end)
  end)

  it("bills no score that was refused, and one that was answered once", function()
    inside(function(_, policy, task, _, run)
      local w, tokens = policy:start(), policy:encode "ab"
      local too_many = {}
      for i = 1, policy.caps.n_ctx + 1 do too_many[i] = tokens[1] end
      local before = run:meter()
      expect.raises("context", w.score, w, task:prompt(), too_many)
      expect.raises("token", w.score, w, task:prompt(), { policy.caps.n_vocab })
      expect.same(run:meter(), before)
      w:score(task:prompt(), tokens)
      expect.equal(run:meter().charged.scored_tokens - before.charged.scored_tokens, #tokens)
      expect.equal(run:meter().spent.scored_tokens - before.spent.scored_tokens, #tokens)
    end)
  end)

  it("bills a teacher's scores to the teacher", function()
    inside(function(_, policy, task, _, run)
      local w, tokens = policy:start(), policy:encode "ab"
      w:score(task:prompt(), tokens, { bill = "teacher" })
      local meter = run:meter()
      expect.equal(meter.spent.teacher_tokens, 2)
      expect.equal(meter.spent.student_tokens, 0)
    end)
  end)
end)

describe("an option of a policy", function()
  it("resets an adapter to a fresh one", function()
    support.in_folder(function(root)
      support.run(support.main(function(run, p, vt)
        local policy, task = vt.policy(p.model), vt.task(small.same)
        local w = policy:update(batch_of(vt, policy, task, 4, 0, -1), { lr = 0.01 }).weights
        local spec, tokens = p.model .. "+" .. run:save("mine", w), policy:encode(small.answers[1].pieces[1])
        local function score(of) return of:start():score(task:prompt(), tokens)[1] end
        local fresh = score(policy)
        expect.truthy(math.abs(score(vt.policy(spec)) - fresh) > 0.01, "the adapter counts")
        expect.near(score(vt.policy(spec, { reset = true })), fresh, 1e-6)
      end), {}, { root = root })
    end)
  end)
end)

describe("an option of an evaluation", function()
  it("is another evaluation: the protocol, a repetition, a confirmation", function()
    support.in_folder(function(root)
      local code = small.answers[1].pieces[1]
      local function keys(replicate)
        return support.run(support.main(function(_, _, vt)
          local task = vt.task(small.same)
          local fast, full = vt.eval.one(task, code), vt.eval.one(task, code, { protocol = "full" })
          local group = { { task = task, tokens = {}, code = code, code_sha = core.sha256(code), result = fast } }
          local best = vt.eval.best { group }[1]
          return { fast = fast.key, full = full.key, second = best.verdict.key, confirms = best.verdict.confirms }
        end), {}, { root = root, replicate = replicate }).value
      end
      local a, b = keys(0), keys(1)
      local distinct, n = {}, 0
      for _, key in ipairs { a.fast, a.full, a.second, b.fast, b.full, b.second } do distinct[key] = true end
      for _ in pairs(distinct) do n = n + 1 end
      expect.equal(n, 6)
      expect.equal(a.confirms, a.fast)
    end)
  end)
end)

describe("a run", function()
  it("has the seed of its replicate", function()
    support.in_folder(function(root)
      local function seeds(replicate)
        return support.run(support.main(function(run, p, vt)
          local policy, task = vt.policy(p.model), vt.task(small.same)
          return { run = run.seed, sample = policy:start():sample(task:prompt(), { n = 1 })[1].seed }
        end), {}, { root = root, replicate = replicate }).value
      end
      local a, b = seeds(0), seeds(1)
      expect.truthy(a.run ~= b.run, "the run's seed")
      expect.truthy(a.sample ~= b.sample, "the samples' seeds")
    end)
  end)

  it("that is asked for afresh resumes nothing", function()
    support.in_folder(function(root)
      local function open(fresh)
        local handle, info = core.run_open { root = root, experiment = "e", params = { k = 1 }, fresh = fresh,
          origins = core.json_decode("{}", "x"), env = core.json_decode("{}", "x"), about = core.json_decode("{}", "x") }
        core.run_close(handle)
        return info
      end
      local first, second, third = open(false), open(false), open(true)
      expect.equal(second.dir, first.dir)
      expect.equal(second.is_resumed, true)
      expect.equal(third.is_resumed, false)
      expect.truthy(third.dir ~= first.dir, "a folder of its own")
    end)
  end)
end)
