-- SPDX-License-Identifier: Apache-2.0
--
-- Policies and weights on the real engine: draws, log-probabilities, scores, updates. The model's distribution is known
-- (support_tasks.lua), so what is compared are numbers that can be written down.
local core = require "vegttt.core"
local small = require "support_tasks"
local support = require "support"

-- fn(vt, policy, task, p, run) inside main, with the task "same".
local function inside(fn, given)
  support.inside(function(run, p, vt) fn(vt, vt.policy(p.model), vt.task(small.same), p, run) end, given)
end

-- A judged group of "same" with rewards and advantages.
local function judged(vt, policy, task, n, o)
  local g = policy:start():sample(task:prompt(), { n = n, temperature = 1.0, draw = o and o.draw })
  return vt.advantage.batch_z {}(vt.reward.default()(vt.eval.all { g }))
end

describe("sampling", function()
  it("refuses the same draw twice, allows another label and again = true", function()
    inside(function(_, policy, task)
      local w = policy:start()
      local a = w:sample(task:prompt(), { n = 3 })
      expect.raises("draw = \"second\"", function() w:sample(task:prompt(), { n = 3 }) end)
      local b = w:sample(task:prompt(), { n = 3, draw = "second" })
      expect.truthy(a[1].seed ~= b[1].seed, "seeds differ")
      local c = w:sample(task:prompt(), { n = 3, again = true })
      expect.equal(c[2].text, a[2].text)
    end)
  end)

  it("gives each answer the probability that the model has for it", function()
    inside(function(_, policy, task)
      local g = policy:start():sample(task:prompt(), { n = 48, temperature = 1.0 })
      expect.equal(g.draw, "main")
      for i, s in ipairs(g) do
        expect.equal(s.i, i)
        expect.equal(#s.logprobs, s.n_tokens)
        expect.near(s.logprob, s.logprobs:sum(), 1e-6)
        expect.near(s.logprob_mean, s.logprob / s.n_tokens, 1e-9)
        for _, a in ipairs(small.answers) do
          if s.text:find(a.pieces[1], 1, true) then expect.near(s.logprob, math.log(a.p), 0.02) end
        end
        if s.code then
          expect.equal(s.code, s.text)
          expect.near(s.logprob_code, s.logprobs[1], 1e-9) -- the second token is the closing brace
        else
          expect.contains(s.text, "never closed")
          expect.equal(s.finish, "stop")
        end
      end
    end)
  end)

  it("draws the likeliest at temperature 0, and by top_k and top_p among the likeliest", function()
    inside(function(_, policy, task)
      local w = policy:start()
      local function texts(o)
        local out = {}
        o.draw = core.json_encode(o)
        o.n = 16
        for _, s in ipairs(w:sample(task:prompt(), o)) do out[s.text] = true end
        return out
      end
      expect.same(texts { temperature = 0.0 }, { [small.answers[1].pieces[1]] = true })
      expect.same(texts { temperature = 1.0, top_k = 1 }, { [small.answers[1].pieces[1]] = true })
      expect.same(texts { temperature = 1.0, top_p = 0.4 },
        { [small.answers[1].pieces[1]] = true, [small.answers[2].pieces[1]] = true })
      expect.same(texts { temperature = 1.0, min_p = 0.6 },
        { [small.answers[1].pieces[1]] = true, [small.answers[2].pieces[1]] = true })
    end)
  end)

  it("keeps the log-probability under the temperature that was used", function()
    inside(function(_, policy, task)
      local s = policy:start():sample(task:prompt(), { n = 1, temperature = 0.5, draw = "cold" })[1]
      local z = 0
      for _, a in ipairs(small.answers) do z = z + a.p ^ 2 end
      expect.near(s.logprobs_behaviour[1], 2 * s.logprobs[1] - math.log(z), 0.02)
    end)
  end)

  it("refuses options outside the engine's limits", function()
    inside(function(vt, policy, task, p)
      local w, prompt = policy:start(), task:prompt()
      expect.raises("n must be at most 1048576, not 1048577", w.sample, w, prompt, { n = 1048577 })
      expect.raises("vt.draw: n must be at most 1048576, not 1000000000", vt.draw, w, { task }, p, { n = 1000000000 })
      local n_ctx = policy.caps.n_ctx
      local e = expect.raises("together they pass the model's context of " .. n_ctx, w.sample, w, prompt, { n = 1, max_tokens = n_ctx })
      expect.contains(e, "max_tokens is " .. n_ctx)
      expect.raises("temperature must be at most 100, not 101", w.sample, w, prompt, { n = 1, temperature = 101.0 })
      expect.raises("top_p must be above 0, not 0", w.sample, w, prompt, { n = 1, top_p = 0.0 })
      expect.raises("n must be at least 1, not 0", w.sample, w, prompt, { n = 0 })
      expect.raises("n, the number of samples, is needed", w.sample, w, prompt, {})
      expect.raises("needs a prompt", w.sample, w, "text", { n = 1 })
    end)
  end)

  it("stops at the script's own strings and begins with its prefix", function()
    inside(function(_, policy, task)
      local s = policy:start():sample(task:prompt(), { n = 1, temperature = 0.0, stop = { "n;" }, draw = "stop" })[1]
      expect.equal(s.text, "  for (int i = 0; i < ")
      local t = policy:start():sample(task:prompt(), { n = 1, temperature = 0.0, prefix = "anything\n", draw = "prefix" })[1]
      expect.equal(t.text, small.answers[1].pieces[1])
    end)
  end)
end)

describe("vt.sampling and vt.draw", function()
  it("take the options from the parameters", function()
    inside(function(vt, _, _, p)
      expect.same(vt.sampling(p), { n = 3, temperature = 0.5, top_p = 0.9, top_k = 0, min_p = 0, stop = { "x" } })
      expect.equal(vt.sampling(p, { n = 7, draw = "second" }).draw, "second")
      expect.raises("unknown option 'tmperature'", vt.sampling, p, { tmperature = 1 })
      expect.raises("the p of main", vt.sampling, { k = 3 })
    end, { k = 3, temperature = 0.5, top_p = 0.9, stop = "x" })
  end)

  it("judge every sample, in the order of the tasks, and as sampling and judging by hand would", function()
    inside(function(vt, policy, task, p)
      local tasks = { vt.task(small.negated), task }
      local groups = vt.draw(policy:start(), tasks, p)
      expect.equal(groups[1].task.name, "negated")
      expect.equal(groups[2].task.name, "same")
      for i, g in ipairs(groups) do
        local by_hand = vt.eval.all(policy:start():sample(tasks[i]:prompt(), vt.sampling(p, { again = true })))
        expect.equal(#g, 6)
        for j, s in ipairs(g) do
          expect.equal(s.text, by_hand[j].text)
          expect.equal(s.result.status, by_hand[j].result.status)
          expect.equal(s.result.key, by_hand[j].result.key)
        end
      end
      local other = vt.draw(policy:start(), { task }, p, { n = 2, draw = "other", protocol = "full",
        prompt = function(t) return t:prompt { system = "Be quick." } end })
      expect.equal(#other[1], 2)
      expect.equal(other[1][1].result.protocol, "full")
      expect.raises("unknown option 'promt'", vt.draw, policy:start(), tasks, p, { promt = print })
      expect.raises("needs weights", vt.draw, policy, tasks, p)
      expect.raises("must return a vt.Prompt", vt.draw, policy:start(), tasks, p, { prompt = function() return "x" end })
    end, { k = 6, temperature = 1.0 })
  end)
end)

describe("scores", function()
  it("are what sampling said, to the bit", function()
    inside(function(vt, policy, task)
      local w = policy:start()
      local g = w:sample(task:prompt(), { n = 8, temperature = 1.0 })
      for _, s in ipairs(g) do
        local scored = w:score(g.prompt, s.tokens)
        for t = 1, #scored do expect.equal(scored[t], s.logprobs[t]) end
        expect.equal(w:score(policy:encode("x\n"), s.tokens)[1], s.logprobs[1]) -- a newline before it is all that matters
      end
      expect.equal(vt.vector(3, 2.5):sum(), 7.5)
    end)
  end)

  it("see what a context adds, also to a prompt that was used before", function()
    inside(function(vt, policy, task)
      local w, tokens = policy:start(), policy:encode "x"
      local function longer(prompt) return vt.context(prompt):add("Hint", "Look."):ask "Go on." end
      local used = task:prompt()
      w:score(used, tokens)
      local text = longer(task:prompt()):messages {}[2].content
      expect.contains(text, "Hint\nLook.\n\nGo on.")
      local g = w:sample(longer(used), { n = 1 })
      expect.contains(policy:decode(g.prompt_ids), "Hint\nLook.\n\nGo on.")
      expect.equal(longer(used):messages {}[2].content, text)
    end)
  end)
end)

describe("updates", function()
  it("are named by what made them, and branch and restart", function()
    inside(function(vt, policy, task)
      local batch = vt.batch(judged(vt, policy, task, 12))
      local a = policy:update(batch, { lr = 0.002 })
      expect.equal(policy:snapshot().step, 1)
      expect.equal(policy:snapshot().id, a.weights.id)
      local other = policy:branch(policy:start())
      expect.equal(other:update(batch, { lr = 0.002 }).weights.id, a.weights.id)
      local c = policy:branch(policy:base()):update(batch, { lr = 0.003 })
      expect.truthy(c.weights.id ~= a.weights.id, "the learning rate enters the id")
      expect.raises("unknown loss 'pppo'; did you mean 'ppo'?", function() policy:update(batch, { loss = "pppo" }) end)
      expect.same(a.weights.trained_on, { tasks = { 10001 }, families = { "chain" } })
    end)
  end)

  it("take a loss written in Lua, which gives what the built-in one of the same formula gives", function()
    inside(function(vt, policy, task)
      local batch = vt.batch(judged(vt, policy, task, 12))
      local built_in = policy:branch(policy:start()):update(batch, { lr = 0.002, loss = "importance_sampling" })
      local seen = 0
      local own = policy:branch(policy:start()):update(batch, { lr = 0.002, loss = function(seq)
        seen = seen + #seq.tokens
        return (seq.logp - seq.logq):exp() * seq.advantage
      end })
      expect.equal(seen, own.n_tokens)
      expect.near(own.loss, built_in.loss, 1e-5)
      expect.near(own.grad_norm, built_in.grad_norm, 1e-4 * built_in.grad_norm)
      expect.truthy(own.weights.id ~= built_in.weights.id, "the loss enters the id")
      local tokens = batch.seqs[1].tokens
      local a = own.weights:score(task:prompt(), tokens)
      local b = built_in.weights:score(task:prompt(), tokens)
      expect.near(a:sum(), b:sum(), 1e-3)
      expect.raises("returned a string", function()
        policy:branch(policy:start()):update(batch, { loss = function() return "w" end })
      end)
    end)
  end)

  it("raise the probability of what had a positive advantage", function()
    inside(function(vt, policy, task)
      local groups = judged(vt, policy, task, 24)
      local best = vt.max_by(groups[1], "advantage")
      local before = best.logprob
      for _ = 1, 3 do policy:update(vt.batch(groups), { lr = 0.003 }) end
      local after = policy:snapshot():score(groups[1].prompt, best.tokens):sum()
      expect.truthy(after > before + 0.3, ("from %g to %g, more by 0.3"):format(before, after))
    end)
  end)

  it("skip a step under the floor, and say so", function()
    inside(function(vt, policy, task)
      local batch = vt.batch(judged(vt, policy, task, 12))
      local u = policy:update(batch, { lr = 0.002, floor = 1e6 })
      expect.equal(u.skipped, true)
      expect.equal(u.weights.id, policy:start().id)
    end)
  end)

  it("name their weights by all that makes them others", function()
    inside(function(vt, policy, task)
      local g = judged(vt, policy, task, 6)
      -- The id of one update; change(q) is done to a copy of the batch's sequences.
      local function id(o, change)
        local batch = vt.batch(g)
        for _, q in ipairs(batch.seqs) do if change then change(q) end end
        o.lr = o.lr or 0.003
        return policy:branch(policy:start()):update(batch, o).weights.id
      end
      local seen, plain = {}, id {}
      seen[plain] = "the plain one"
      local function another(what, o, change)
        local new = id(o, change)
        expect.truthy(not seen[new], ("%s gave the name of %s"):format(what, tostring(seen[new])))
        seen[new] = what
      end
      expect.equal(id {}, plain)
      another("gradients in two halves", { floor = -1 })
      another("lr", { lr = 0.004 })
      another("grad_clip", { grad_clip = 0.1 })
      another("weight_decay", { weight_decay = 0.1 })
      another("loss", { loss = "ppo" })
      another("clip_lo", { loss = "ppo", clip_lo = 0.5 })
      another("clip_hi", { loss = "ppo", clip_hi = 1.5 })
      another("dro", { loss = "dro" })
      another("beta", { loss = "dro", beta = 0.5 })
      another("the prompt", {}, function(q) q.prompt = policy:encode "another" end)
      another("logq", {}, function(q) q.logq = q.logq * 0.5 end)
      another("the advantage", {}, function(q) q.advantage = q.advantage * 0.5 end)
      another("the tokens", {}, function(q)
        q.tokens = { table.unpack(q.tokens) }
        q.tokens[1] = q.tokens[1] == 97 and 98 or 97
      end)
    end)
  end)

  it("refuse options that are no numbers or that single precision takes for 0, by name", function()
    inside(function(vt, policy, task)
      local batch = vt.batch(judged(vt, policy, task, 4))
      for name, v in pairs { clip_hi = 0 / 0, clip_lo = 2.0, beta = -0.1, lr = 1e-60, grad_clip = -1.0, floor = 0 / 0 } do
        local o = { lr = 0.001 }
        o[name] = v
        expect.raises("policy:update: " .. name .. " must be", function() policy:update(batch, o) end)
      end
      expect.equal(policy:update(batch, { lr = 0.0, clip_hi = math.huge }).skipped, false)
    end)
  end)

  it("keep their weights as a folder that can be loaded again", function()
    support.in_folder(function(root)
      support.run(support.main(function(run, p, vt)
        local policy, task = vt.policy(p.model), vt.task(small.same)
        local w = policy:update(vt.batch(judged(vt, policy, task, 12)), { lr = 0.003 }).weights
        policy:snapshot "kept"
        local path = run:save("mine", w)
        expect.equal(run:save("model", policy:start()), nil) -- nothing is written, and no path is given of it
        expect.equal(core.exists(run.dir .. "/model"), false)
        expect.raises("weights.trained_on has no 'tsks'; did you mean 'tasks'?", function() return w.trained_on.tsks end)
        w:save(root .. "/again")
        w:save(root .. "/rounded", { dtype = "bf16" })
        expect.raises("no option 'type'", w.save, w, root .. "/no", { type = "bf16" })
        expect.raises("not 'f16'", w.save, w, root .. "/no", { dtype = "f16" })
        local tokens = policy:encode(small.answers[1].pieces[1])
        local want = w:score(task:prompt(), tokens)[1]
        local loaded = vt.policy(p.model .. "+" .. path):start()
        expect.equal(loaded:score(task:prompt(), tokens)[1], want)
        local rounded = vt.weights(root .. "/rounded", { model = p.model })
        expect.near(rounded:score(task:prompt(), tokens)[1], want, 1e-2)
        for folder, holds_bf16 in pairs { again = false, rounded = true } do
          local file <close> = io.open(root .. "/" .. folder .. "/adapter_model.safetensors", "rb")
          expect.equal(file:read(4096):find('"BF16"', 1, true) ~= nil, holds_bf16)
        end
        expect.same(loaded.trained_on, { tasks = { 10001 }, families = { "chain" } })
        local named = vt.weights(run.dir .. "@kept")
        expect.near(named:score(task:prompt(), tokens)[1], want, 1e-2)
        policy:branch(policy:start()):snapshot "untouched"
        expect.equal(vt.weights(run.dir .. "@untouched").id, policy:start().id)
        expect.equal(vt.weights(path, { model = p.model }):score(task:prompt(), tokens)[1], want)
        expect.raises("there is no snapshot 'lost'", vt.weights, run.dir .. "@lost")
        expect.raises("an update's report has no 'weigths'; did you mean 'weights'?", function()
          return policy:update(vt.batch(judged(vt, policy, task, 4, { draw = "more" })), { lr = 0.0 }).weigths
        end)
      end), {}, { root = root })
    end)
  end)

  it("render and decode as the model's own tokenizer does", function()
    inside(function(_, policy)
      expect.equal(policy:render({ { role = "user", content = "Hello" } }), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
      expect.equal(policy:render({ { role = "user", content = "Hi" } }, { generation_prompt = false }),
        "<|im_start|>user\nHi<|im_end|>\n")
      expect.same(policy:encode "ab", { 97, 98 })
      expect.same(policy:encode("<|im_end|>", { special = true }), { 257 })
      expect.equal(policy:decode { 97, 257 }, "a<|im_end|>")
      expect.equal(policy.caps.n_vocab > 257, true)
    end)
  end)
end)
