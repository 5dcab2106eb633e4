-- SPDX-License-Identifier: Apache-2.0
--
-- What was added to a prompt is read by the model, whatever was done with the prompt before: objects remember what they
-- computed, and neither a copy nor an object that was changed may answer from another one's memory.
local core = require "vegttt.core"
local support = require "support"

-- fn(w, task, vt, score): weights of the small model and a task; score(prompt) of the same answer.
local function with_weights(fn)
  support.inside(function(_, _, vt, m)
    local files = support.task_files(support.folder())
    local policy = vt.policy(support.model())
    local w, task = policy:start(), vt.tasks({ ids = files.same })[1]
    local tokens = policy:encode "  for (int i = 0; i < n; i++) y[i] = x[i];"
    fn(w, task, vt, function(prompt) return m.policy.prompt_tokens(w.model, prompt, "test") end, policy, tokens)
  end)
end

local function copy(t)
  local out = {}
  for k, v in pairs(t) do out[k] = v end
  return setmetatable(out, getmetatable(t))
end

describe("a prompt that was used", function()
  it("takes a context like a fresh one, and so does a context of a context", function()
    with_weights(function(w, task, vt, tokens_of, _, answer)
      local function with_more(p) return vt.context(p):add("Feedback", "It was wrong."):ask "Answer again." end
      local fresh, used = task:prompt(), task:prompt()
      w:sample(used, { n = 1, max_tokens = 1 })
      w:score(used, answer)
      expect.truthy(#tokens_of(with_more(used)) > #tokens_of(used), "the longer prompt")
      expect.same(tokens_of(with_more(used)), tokens_of(with_more(fresh)))
      local twice = with_more(used)
      tokens_of(twice)
      expect.same(tokens_of(with_more(twice)), tokens_of(with_more(with_more(fresh))))
      expect.same(tokens_of(used), tokens_of(task:prompt()))
    end)
  end)

  it("is rendered again when it was copied or changed", function()
    with_weights(function(_, task, _, tokens_of)
      for field, value in pairs { system = "Be terse.", template = "Do better than {source}", prefix = "```c\n" } do
        local p = task:prompt()
        local before = core.json_encode(tokens_of(p))
        local other = copy(p)
        other[field] = value
        local changed = core.json_encode(tokens_of(other))
        expect.truthy(changed ~= before, "a copy with another " .. field)
        p[field] = value
        expect.equal(core.json_encode(tokens_of(p)), changed, field)
      end
      local p = task:prompt()
      local n = #tokens_of(p)
      p.sections[1] = "More to read, much more."
      expect.truthy(#tokens_of(p) > n, "a prompt with a section added in place")
    end)
  end)

  it("is what a batch trains under when the script gives a sample another one", function()
    with_weights(function(w, task, vt, tokens_of)
      local g = w:sample(task:prompt(), { n = 2, max_tokens = 4, temperature = 1.0 })
      local longer = vt.context(g.prompt):ask "Answer again."
      g[1].advantage, g[2].advantage = 1, -1
      g[2].prompt = longer
      local batch = vt.batch(g)
      expect.same(tokens_of(batch.seqs[1].prompt), tokens_of(g.prompt))
      expect.same(tokens_of(batch.seqs[2].prompt), tokens_of(longer))
    end)
  end)
end)

describe("an update", function()
  local function lines_of(core_, part)
    local n = 0
    for _, line in ipairs(core_.lines) do n = n + (line:find(part, 1, true) and 1 or 0) end
    return n
  end

  it("says that a batch of nothing but zeros teaches nothing", function()
    for _, advantages in ipairs { { 0, 0 }, { 0, 1e-9 } } do
      local r
      support.in_folder(function(root)
        local files = support.task_files(root)
        r = support.run(support.main(function(_, _, vt)
          local policy = vt.policy(support.model())
          local g = policy:start():sample(vt.tasks({ ids = files.same })[1]:prompt(), { n = 2, max_tokens = 4 })
          for i, s in ipairs(g) do s.advantage = core.vector(#s.tokens, advantages[i]) end
          local u = policy:update(vt.batch(g), { lr = 1e-3, weight_decay = 0.1 })
          return { is_same = u.weights == policy:start(), skipped = u.skipped, step = policy:snapshot().step,
            trained = u.n_tokens }
        end), nil, { root = root })
      end)
      local is_nothing = advantages[2] == 0
      expect.equal(lines_of(r.core, "all advantages of the 2 sequences are 0"), is_nothing and 1 or 0)
      expect.equal(r.value.is_same, is_nothing) -- no step: the weights keep their id
      expect.equal(r.value.skipped, is_nothing)
      expect.equal(r.value.step, is_nothing and 0 or 1)
      expect.equal(r.value.trained == 0, is_nothing)
    end
  end)

  it("of a loss function is another one when a parameter that the function closes over is another", function()
    support.in_folder(function(root)
      local files = support.task_files(root)
      local function weights_for(scale)
        return support.run(support.main(function(_, p, vt)
          local policy = vt.policy(support.model())
          local g = policy:start():sample(vt.tasks({ ids = files.same })[1]:prompt(), { n = 2, max_tokens = 4 })
          for i, s in ipairs(g) do s.advantage = i end
          policy:update(vt.batch(g), { lr = 1e-3, loss = function(q)
            return q.logp * 0 + q.advantage * (p.scale - 1.5)
          end })
          return { id = policy:snapshot().id }
        end, { params = { scale = { 1.0, "a factor", extend = true } } }), { scale = scale }, { root = root }).value.id
      end
      local one, two = weights_for(1.0), weights_for(2.0)
      expect.truthy(one ~= two, "the weights of another factor")
      expect.equal(weights_for(1.0), one)
    end)
  end)
end)
