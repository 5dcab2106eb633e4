-- SPDX-License-Identifier: Apache-2.0
--
-- Whole experiments over the fake engine: schedules, resuming, interrupts, budgets.
local support = dofile "tests/lua/support_fake.lua"

local best_of_n, boa = support.file "experiments/best_of_n.lua", support.file "experiments/boa.lua"

local in_folder = support.in_folder

local function run(make, given, o)
  local r = support.execute(make, given, o)
  if r.status ~= "done" then error(r.status .. ": " .. tostring(r.value), 2) end
  return r
end

describe("best_of_n", function()
  it("counts samples, evaluations and hits", function()
    in_folder(function(root)
      local r = run(best_of_n, { k = 8 }, { root = root })
      expect.equal(r.meter.charged.rollouts, 40)
      expect.equal(r.meter.charged.evaluations, 45) -- one for each sample, and the best of each task again
      expect.equal(r.meter.spent.rollouts, 40)
      expect.truthy(r.counts.n_evals < 40, "identical code evaluated once")
      expect.truthy(r.value.correct > 0.2 and r.value.correct < 0.9, "share correct")
      expect.contains(r.tables.tasks, "12,")
    end)
  end)

  it("gives the same tables under every schedule", function()
    in_folder(function(root)
      local first
      for schedule = 1, 6 do
        local r = run(best_of_n, { k = 6 }, { root = root .. "/" .. schedule, schedule = schedule })
        first = first or r.tables
        expect.equal(r.tables.tasks, first.tasks)
        expect.equal(r.tables.scaling, first.scaling)
      end
    end)
  end)

  it("extends k by drawing only the difference", function()
    in_folder(function(root)
      run(best_of_n, { k = 4 }, { root = root })
      local more = run(best_of_n, { k = 7 }, { root = root })
      expect.equal(more.counts.n_samples, 15)
      local whole = run(best_of_n, { k = 7 }, { root = root .. "/other" })
      expect.equal(more.tables.tasks, whole.tables.tasks)
      expect.equal(more.meter.charged.rollouts, 35)
    end)
  end)

  it("marks tasks that the start weights have seen", function()
    in_folder(function(root)
      local r = run(best_of_n, { tasks = "12,5", k = 2 }, { root = root })
      expect.contains(r.tables.tasks, ",task\r\n")
    end)
  end)
end)

describe("boa", function()
  it("adapts and picks the best step", function()
    in_folder(function(root)
      local r = run(boa, { k = 8, steps = 2 }, { root = root })
      expect.equal(r.counts.n_steps, 2)
      expect.equal(r.meter.charged.rollouts, 120)
      expect.truthy(r.value.fast_1 >= r.value.first_fast_1)
      expect.contains(r.tables.trajectory, "\r\n2,")
    end)
  end)

  it("gives the same tables when killed at any turn and run again", function()
    in_folder(function(root)
      local whole = run(boa, { k = 4, steps = 2 }, { root = root .. "/whole" })
      local n = whole.counts.n_turns
      for at = 1, n, 2 do
        local dir = root .. "/" .. at
        local killed = support.execute(boa, { k = 4, steps = 2 }, { root = dir, kill_at = at })
        expect.equal(killed.status, "killed")
        local again = run(boa, { k = 4, steps = 2 }, { root = dir, schedule = at + 100 })
        expect.equal(again.tables.trajectory, whole.tables.trajectory)
        expect.equal(again.tables.tasks, whole.tables.tasks)
        expect.truthy(killed.counts.n_steps + again.counts.n_steps <= 3,
          "updates are not repeated, but one in flight may be")
      end
    end)
  end)

  it("repeats nothing when a finished run is asked for again", function()
    in_folder(function(root)
      local first = run(boa, { k = 4, steps = 2 }, { root = root })
      local again = run(boa, { k = 4, steps = 2 }, { root = root })
      expect.equal(again.counts.n_samples + again.counts.n_evals + again.counts.n_steps, 0)
      expect.same(again.tables, first.tables)
      expect.same(again.meter.charged, first.meter.charged)
    end)
  end)

  it("trains on from a recorded state when steps grow", function()
    in_folder(function(root)
      run(boa, { k = 4, steps = 1 }, { root = root })
      local more = run(boa, { k = 4, steps = 3 }, { root = root })
      expect.equal(more.counts.n_steps, 2)
      expect.equal(more.counts.n_loaded, 1)
      local whole = run(boa, { k = 4, steps = 3 }, { root = root .. "/other" })
      expect.equal(more.tables.trajectory, whole.tables.trajectory)
    end)
  end)

  it("makes a state again when its moments are gone", function()
    in_folder(function(root)
      local first = run(boa, { k = 4, steps = 2 }, { root = root })
      support.remove(first.run.dir .. "/ckpt")
      local more = run(boa, { k = 4, steps = 3 }, { root = root })
      expect.equal(more.counts.n_steps, 3)
      local whole = run(boa, { k = 4, steps = 3 }, { root = root .. "/other" })
      expect.equal(more.tables.trajectory, whole.tables.trajectory)
    end)
  end)

  it("drains at an interrupt and continues", function()
    in_folder(function(root)
      local cut = support.execute(boa, { k = 4, steps = 2 }, { root = root, signal_at = 12 })
      expect.equal(cut.status, "interrupted")
      local again = run(boa, { k = 4, steps = 2 }, { root = root })
      for name, n in pairs(cut.counts.drawn) do
        expect.equal(n + (again.counts.drawn[name] or 0), 1, "sample " .. name)
      end
    end)
  end)

  it("stops at the budget and keeps what it has", function()
    in_folder(function(root)
      local r = support.execute(boa, { k = 4, steps = 2 }, { root = root, limits = { max_rollouts = 30 } })
      expect.equal(r.status, "failed")
      expect.equal(r.value.kind, "budget")
      expect.contains(tostring(r.value), "raise --max-rollouts")
    end)
  end)

  it("draws anew for a replicate", function()
    in_folder(function(root)
      local a = run(boa, { k = 4, steps = 0 }, { root = root })
      local b = run(boa, { k = 4, steps = 0 }, { root = root, replicate = 1 })
      expect.equal(b.counts.n_samples, 20)
      expect.truthy(a.run.id ~= b.run.id, "run ids differ")
    end)
  end)
end)

describe("sampling", function()
  local function main(fn, given, o)
    in_folder(function(root)
      o = o or {}
      o.root = root
      local r = support.execute(support.main(fn), given, o)
      if r.status ~= "done" then
        error(r.status .. ": " .. tostring(r.value) .. "\n" .. tostring(r.value and r.value.traceback), 0)
      end
    end)
  end

  it("refuses the same draw twice, allows another label and again = true", function()
    main(function(_, _, vt)
      local w = vt.policy("fake"):start()
      local task = vt.tasks { ids = "19" }[1]
      local a = w:sample(task:prompt(), { n = 3 })
      expect.raises("draw = \"second\"", function() w:sample(task:prompt(), { n = 3 }) end)
      local b = w:sample(task:prompt(), { n = 3, draw = "second" })
      expect.truthy(a[1].seed ~= b[1].seed, "seeds differ")
      local c = w:sample(task:prompt(), { n = 3, again = true })
      expect.equal(c[2].text, a[2].text)
    end)
  end)

  it("has both log-probabilities, code and its log-probability", function()
    main(function(_, _, vt)
      local w = vt.policy("fake"):start()
      local g = w:sample(vt.tasks({ ids = "19" })[1]:prompt(), { n = 12 })
      expect.equal(g.draw, "main")
      for i, s in ipairs(g) do
        expect.equal(s.i, i)
        expect.equal(#s.logprobs, s.n_tokens)
        expect.near(s.logprob, s.logprobs:sum(), 1e-12)
        if s.code then
          expect.equal(s.code .. "\n}", vt.policy("fake"):decode(s.tokens))
          expect.truthy(s.logprob_code > s.logprob, "the code is shorter than the answer")
        else
          expect.contains(s.text, "never closed")
        end
      end
    end)
  end)

  it("branches, restarts and updates with a loss written in Lua", function()
    main(function(_, _, vt)
      local policy = vt.policy "fake"
      local g = policy:start():sample(vt.tasks({ ids = "19" })[1]:prompt(), { n = 4 })
      vt.advantage.batch_z {}(vt.reward.default()(vt.eval.all { g }))
      local batch = vt.batch { g }
      local a = policy:update(batch, { lr = 0.5 })
      expect.equal(policy:snapshot().step, 1)
      local other = policy:branch(policy:start())
      local b = other:update(batch, { lr = 0.5 })
      expect.equal(a.weights.id, b.weights.id)
      local c = other:branch(policy:start()):update(batch, { lr = 0.5,
        loss = function(seq) return (seq.logp - seq.logq):exp() * seq.advantage end })
      expect.truthy(c.weights.id ~= a.weights.id, "the loss enters the id")
      expect.raises("unknown loss 'pppo'; did you mean 'ppo'?", function() policy:update(batch, { loss = "pppo" }) end)
      expect.raises("use ratio = \"raw\"", function() policy:update(batch, { ratio = "tempered" }) end)
    end)
  end)
end)
