-- SPDX-License-Identifier: Apache-2.0
--
-- Losses over several tokens a position, and averages of weights: against finite differences, and against updates that must
-- come out the same.
local small = require "support_tasks"
local support = require "support"

local function softmax(z)
  local sum, p = 0, {}
  for i, v in ipairs(z) do sum = sum + math.exp(v) end
  for i, v in ipairs(z) do p[i] = math.exp(v) / sum end
  return p
end

-- The divergence of the student's k likeliest tokens and one bucket, as its definition says it.
local function divergence(p, q, top, alpha)
  local rest_p, rest_q, of_q, of_p = 1, 1, 0, 0
  local function add(a, b)
    local m = (1 - alpha) * a + alpha * b
    of_q, of_p = of_q + b * math.log(b / m), of_p + a * math.log(a / m)
  end
  for _, v in ipairs(top) do
    add(p[v], q[v])
    rest_p, rest_q = rest_p - p[v], rest_q - q[v]
  end
  add(rest_p, rest_q)
  return alpha < 1 and alpha * of_q + (1 - alpha) * of_p or of_p
end

describe("distil", function()
  it("is the gradient of the divergence over the head and a bucket", function()
    support.inside(function(_, _, vt)
      local z, q, top = { 1.0, 0.4, -0.2, 0.1, -1.0 }, softmax { 0.2, 1.1, -0.5, 0.3, 0.4 }, { 1, 2 }
      for _, alpha in ipairs { 0.5, 0.2, 1 } do
        local p = softmax(z)
        local student, teacher = vt.vector { math.log(p[1]), math.log(p[2]) }, vt.vector { math.log(q[1]), math.log(q[2]) }
        local w = vt.distil(student, teacher, 2, alpha)
        for i = 1, #z do
          -- d/dz_i of -sum w_v ln p_v: ln p_v has the gradient (v == i) - p_i.
          local found = 0
          for j, v in ipairs(top) do found = found - w[j] * ((v == i and 1 or 0) - p[i]) end
          local function at(d)
            local moved = table.move(z, 1, #z, 1, {})
            moved[i] = moved[i] + d
            return divergence(softmax(moved), q, top, alpha)
          end
          expect.near(found, (at(1e-4) - at(-1e-4)) / 2e-4, 1e-6, ("alpha %g, logit %d"):format(alpha, i))
        end
      end
      expect.equal(vt.distil(vt.vector { -0.5, -2 }, vt.vector { -0.5, -2 }, 2, 0.3):max(), 0) -- exactly
      expect.raises("alpha must be above 0", vt.distil, vt.vector { -1 }, vt.vector { -1 }, 1, 0)
      expect.raises("are not k = 2 of each position", vt.distil, vt.vector { -1 }, vt.vector { -1 }, 2, 0.5)
    end)
  end)
end)

describe("targets", function()
  -- A group of samples with an advantage each, and the start.
  local function drawn(vt, p)
    local policy = vt.policy(p.model)
    return policy, policy:start():sample(vt.task(small.same):prompt(), { n = 3, temperature = 1.0 })
  end

  it("that are the tokens themselves are the ordinary update; a target of weight 0 changes nothing", function()
    support.inside(function(_, p, vt)
      local policy, g = drawn(vt, p)
      local found = {}
      for _, k in ipairs { 0, 1, 2 } do
        local branch = policy:branch(policy:start())
        for _, s in ipairs(g) do
          local targets, weights = {}, {}
          for t, id in ipairs(s.tokens) do
            targets[#targets + 1], weights[#weights + 1] = id, t % 2 == 0 and 0.5 or -1
            if k == 2 then targets[#targets + 1], weights[#weights + 1] = s.tokens[1], 0 end
          end
          s.targets, s.advantage = k > 0 and targets or nil, vt.vector(weights)
        end
        local u = branch:update(vt.batch { g }, { lr = 1e-3, loss = "cross_entropy" })
        found[k] = u.weights:score(g.prompt, g[1].tokens)
        expect.equal(u.n_tokens, #g[1].tokens + #g[2].tokens + #g[3].tokens)
      end
      for t = 1, #found[0] do
        expect.equal(found[1][t], found[0][t])
        expect.near(found[2][t], found[0][t], 1e-6)
      end
      expect.raises("has 1 targets: give as many at every token", function()
        g[1].targets = { 5 }
        policy:update(vt.batch { g }, { lr = 1e-3, loss = "cross_entropy" })
      end)
      expect.raises("use cross_entropy", function()
        for _, s in ipairs(g) do s.targets, s.advantage = s.tokens, vt.vector(#s.tokens, 1) end
        policy:update(vt.batch { g }, { lr = 1e-3 })
      end)
    end)
  end)

  it("are scored as they are where they stand, and the likeliest come first", function()
    support.inside(function(_, p, vt)
      local policy, g = drawn(vt, p)
      local w, s = policy:start(), g[1]
      local top = w:top(g.prompt, s.tokens, 3)
      expect.equal(#top.ids, 3 * #s.tokens)
      local again = w:score(g.prompt, s.tokens, { targets = top.ids })
      for i = 1, #top.ids do
        expect.equal(again[i], top.logprobs[i])
        if (i - 1) % 3 > 0 then expect.truthy(top.logprobs[i] <= top.logprobs[i - 1], "falling") end
      end
      local own = w:score(g.prompt, s.tokens)
      for t = 1, #own do expect.truthy(own[t] <= top.logprobs[3 * t - 2] + 1e-6, "none is likelier than the likeliest") end
      -- What was asked for becomes likelier: the second likeliest first token, in place of the drawn one.
      local before = top.logprobs[2]
      for _, x in ipairs(g) do
        local targets, weights = {}, {}
        for t = 1, #x.tokens do targets[t], weights[t] = t == 1 and top.ids[2] or x.tokens[t], t == 1 and 1 or 0 end
        x.targets, x.advantage = targets, vt.vector(weights)
      end
      policy:update(vt.batch { g }, { lr = 1e-2, loss = "cross_entropy" })
      local after = policy:snapshot "after":score(g.prompt, { s.tokens[1] }, { targets = { top.ids[2] } })[1]
      expect.truthy(after > before, "likelier")
      expect.raises("as many at each", w.score, w, g.prompt, { 1, 2 }, { targets = { 1, 2, 3 } })
    end)
  end)
end)

describe("an average of weights", function()
  it("lies where its share says: half of a first Adam step is the step of half the rate", function()
    support.inside(function(_, p, vt)
      local policy = vt.policy(p.model)
      local start = policy:start()
      local g = start:sample(vt.task(small.same):prompt(), { n = 3, temperature = 1.0 })
      for i, s in ipairs(g) do s.advantage = i - 1.5 end
      local function updated(lr)
        local branch = policy:branch(start)
        return branch:update(vt.batch { g }, { lr = lr }).weights
      end
      local whole, half, quarter = updated(4e-3), updated(2e-3), updated(1e-3)
      local mixed = policy:average(start, whole, 0.5)
      local a, b, c = mixed:score(g.prompt, g[1].tokens), half:score(g.prompt, g[1].tokens), whole:score(g.prompt, g[1].tokens)
      local d = policy:average(start, mixed, 0.5):score(g.prompt, g[1].tokens)
      local e = quarter:score(g.prompt, g[1].tokens)
      local f = policy:average(start, whole, 0.25):score(g.prompt, g[1].tokens)
      local n_moved = 0
      for t = 1, #a do
        expect.near(a[t], b[t], 2e-3)
        expect.near(d[t], e[t], 2e-3)
        expect.near(f[t], e[t], 2e-3)
        if math.abs(a[t] - c[t]) > 1e-2 then n_moved = n_moved + 1 end
      end
      expect.truthy(n_moved > 0, "the whole step is elsewhere")
      expect.equal(policy:average(start, whole, 0), start)
      expect.equal(policy:average(start, whole, 1), whole)
      expect.equal(policy:average(start, whole, 0.5), mixed)
      expect.equal(mixed.trained_on.tasks[1], small.same.id)
      expect.equal(mixed.step, 1)
      expect.raises("two weights of the same model", policy.average, policy, start, 3, 0.5)
    end)
  end)
end)

describe("a policy", function()
  it("says what it cannot do before samples are paid for, and how much fits behind a prompt", function()
    support.inside(function(_, p, vt)
      local policy, prompt = vt.policy(p.model), vt.task(small.same):prompt()
      expect.equal(policy:need("update", "score", "targets"), policy)
      expect.raises("policy:need knows no 'scoer'; did you mean 'score'?", policy.need, policy, "scoer")
      local g = policy:start():sample(prompt, { n = 1, max_tokens = 1, temperature = 1.0 })
      expect.equal(policy:room(prompt), policy.caps.n_ctx - #g.prompt_ids)
    end)
  end)
end)
