-- SPDX-License-Identifier: Apache-2.0
--
-- The shipped experiments on the real engine: schedules, resuming, interrupts, budgets. The model answers two small tasks
-- (support_tasks.lua); what it says, and how likely, is known.
local core = require "vegttt.core"
local support = require "support"

local best_of_n, boa = support.file "experiments/best_of_n.lua", support.file "experiments/boa.lua"

-- fn(root, given): a folder, and parameters that name the small tasks.
local function in_folder(fn)
  support.in_folder(function(root)
    local files = support.task_files(root)
    local function given(more)
      local p = { tasks = { files.same, files.negated }, temperature = 1.0, lr = 0.003 }
      for k, v in pairs(more) do p[k] = v end
      return p
    end
    fn(root, function(more)
      local p = given(more)
      p.lr = nil
      return p
    end, given)
  end)
end

local run = support.run

describe("best_of_n", function()
  it("counts samples, evaluations and hits", function()
    in_folder(function(root, given)
      local r = run(best_of_n, given { k = 32 }, { root = root })
      expect.equal(r.meter.charged.rollouts, 64)
      expect.equal(r.meter.spent.rollouts, 64)
      expect.equal(r.meter.charged.evaluations, 66) -- one for each sample, and the best of each task again
      expect.truthy(r.counts.n_evals <= 2 * 8 + 2, "identical code is evaluated once")
      -- Correct are answers 1, 3, 4 and 5 of "same" (p = 9/16) and 2 of "negated" (p = 3/16): 0.375; the standard
      -- deviation of 64 draws is 0.055.
      expect.near(r.value.sample_correct, 0.375, 0.17)
      expect.contains(r.tables.tasks, "\r\n10001,same,32,")
      expect.contains(r.tables.kernels, "\r\n10002,negated,")
    end)
  end)

  it("gives the same tables under every schedule", function()
    in_folder(function(root, given)
      local first
      for schedule = 1, 6 do
        local r = run(best_of_n, given { k = 6 }, { root = root .. "/" .. schedule, schedule = schedule })
        first = first or r.tables
        expect.same(r.tables, first)
      end
    end)
  end)

  it("extends k by drawing only the difference", function()
    in_folder(function(root, given)
      run(best_of_n, given { k = 4 }, { root = root })
      local more = run(best_of_n, given { k = 7 }, { root = root })
      expect.equal(more.counts.n_samples, 6)
      local whole = run(best_of_n, given { k = 7 }, { root = root .. "/other" })
      expect.same(more.tables, whole.tables)
      expect.equal(more.meter.charged.rollouts, 14)
    end)
  end)

  it("finds samples that another run drew in the machine's store, and draws none of them", function()
    in_folder(function(root, given)
      local first = run(best_of_n, given { k = 4 }, { root = root .. "/one", store = root .. "/store" })
      local second = run(best_of_n, given { k = 4 }, { root = root .. "/two", store = root .. "/store" })
      expect.equal(first.counts.n_samples, 8)
      expect.equal(second.counts.n_samples, 0)
      expect.same(second.tables, first.tables)
    end)
  end)

  it("is another run when a task file says something else, and the same when the file was only moved", function()
    in_folder(function(root, given)
      local first = run(best_of_n, given { k = 2 }, { root = root })
      local text = core.read(root .. "/same.lua")
      core.write(root .. "/moved.lua", text)
      local moved = run(best_of_n, given { k = 2, tasks = { root .. "/moved.lua", root .. "/negated.lua" } }, { root = root })
      expect.equal(moved.run.dir, first.run.dir)
      core.write(root .. "/same.lua", (text:gsub("n = 2048", "n = 1024")))
      local edited = run(best_of_n, given { k = 2 }, { root = root })
      expect.truthy(edited.run.dir ~= first.run.dir, "another run")
    end)
  end)
end)

describe("boa", function()
  it("adapts: the answers that were faster become likelier", function()
    in_folder(function(root, _, given)
      local r = run(boa, given { k = 24, steps = 4, tasks = { root .. "/same.lua" } }, { root = root })
      expect.equal(r.counts.n_steps, 4)
      expect.equal(r.meter.charged.rollouts, 144) -- five steps and the fresh draw
      expect.contains(r.tables.trajectory, "\r\n4,")
      -- At the start an answer is fast with probability 3/8; the advantages raise the fastest one.
      expect.truthy(r.value.sample_fast_1 >= 0.7, ("fast_1 after adapting, %g,"):format(r.value.sample_fast_1))
      expect.truthy(r.value.step > 0, "the best step")
    end)
  end)

  it("repeats bit for bit when verdicts are replayed, and does not when the clock says something else", function()
    in_folder(function(root, _, given)
      local function other_clock(_, fields) return { speedup = fields.correct and 1 + 1 / fields.speedup or 0 } end
      local function snapshots(r)
        local ids = {}
        for _, line in ipairs(support.lines(r, "journal.jsonl")) do
          if line.key:find "^snapshot/" then ids[line.key] = line.value.id end
        end
        return ids
      end
      local function of(o)
        o.root = root .. "/" .. o.name
        return run(boa, given { k = 6, steps = 2 }, o)
      end
      local first = of { name = "first" }
      local other = of { name = "other", clock = other_clock }
      expect.truthy(snapshots(other)["snapshot/step2"] ~= snapshots(first)["snapshot/step2"], "other times, other weights")
      local again = of { name = "again", clock = other_clock, flags = { reward_from = first.run.dir } }
      expect.equal(again.counts.n_evals, 0)
      expect.same(snapshots(again), snapshots(first))
      expect.same(again.tables, first.tables)
      for _, line in ipairs(support.lines(again, "evals.jsonl")) do expect.equal(line.timed_in, first.run.dir) end
      local function summary(r) return core.json_decode(core.read(r.run.dir .. "/summary.json"), "summary.json") end
      expect.equal(summary(again).not_replayed, nil)
      -- What the other run did not judge is judged here, and counted.
      local more = run(boa, given { k = 12, steps = 2 }, { root = root .. "/more", clock = other_clock,
        flags = { reward_from = first.run.dir } })
      local n = 0
      for _, line in ipairs(support.lines(more, "evals.jsonl")) do n = n + (line.timed_in and 0 or 1) end
      expect.truthy(n > 0, "codes that the first run did not draw")
      expect.equal(summary(more).not_replayed, n)
    end)
  end)

  it("marks tasks that the start weights have seen", function()
    in_folder(function(root, given, adapted)
      local r = run(boa, adapted { k = 4, steps = 1, tasks = { root .. "/same.lua" } }, { root = root })
      local snapshot
      core.read_lines(r.run.dir .. "/journal.jsonl", function(line)
        if line.key == "snapshot/step1" then snapshot = line.value.id end
      end)
      local spec = support.model() .. "+" .. r.run.dir .. "/ckpt/" .. snapshot
      local seen = run(best_of_n, given { model = spec, k = 2 }, { root = root .. "/seen" })
      expect.truthy(seen.tables.tasks:find "10001,same,[^\r]*,task\r\n", seen.tables.tasks)
      expect.truthy(seen.tables.tasks:find "10002,negated,[^\r]*,family\r\n", seen.tables.tasks)
    end)
  end)

  it("gives the same tables when killed at any turn and run again", function()
    in_folder(function(root, _, given)
      local p = { k = 4, steps = 2 }
      local whole = run(boa, given(p), { root = root .. "/whole" })
      for at = 1, whole.counts.n_turns, 2 do
        local dir = root .. "/" .. at
        local killed = support.execute(boa, given(p), { root = dir, kill_at = at })
        expect.equal(killed.status, "killed")
        local again = run(boa, given(p), { root = dir, schedule = at + 100 })
        expect.same(again.tables, whole.tables)
        expect.truthy(killed.counts.n_steps + again.counts.n_steps <= 3,
          "updates are not repeated, but one in flight may be")
      end
    end)
  end)

  it("repeats nothing when a finished run is asked for again", function()
    in_folder(function(root, _, given)
      local first = run(boa, given { k = 4, steps = 2 }, { root = root })
      local again = run(boa, given { k = 4, steps = 2 }, { root = root })
      expect.equal(again.counts.n_samples + again.counts.n_evals + again.counts.n_steps, 0)
      expect.same(again.tables, first.tables)
      expect.same(again.meter.charged, first.meter.charged)
    end)
  end)

  it("trains on from a recorded state when an unfinished run goes on, and makes it again when steps grow", function()
    in_folder(function(root, _, given)
      local first = run(boa, given { k = 4, steps = 1 }, { root = root })
      -- The optimiser's moments of a finished run are gone: its one update is made again, and nothing is drawn again.
      local more = run(boa, given { k = 4, steps = 3 }, { root = root })
      expect.equal(more.counts.n_steps, 3)
      for name in pairs(first.counts.drawn) do expect.equal(more.counts.drawn[name], nil, "a sample drawn again") end
      local whole = run(boa, given { k = 4, steps = 3 }, { root = root .. "/other" })
      expect.equal(more.tables.trajectory, whole.tables.trajectory)
      expect.equal(more.value.weights, whole.value.weights)
    end)
  end)

  it("keeps exact parameters once, and no moments, when it is finished; and moments while it is not", function()
    local function optimisers(dir)
      local n, at = 0, {}
      for _, id in ipairs(core.list(dir .. "/ckpt")) do
        for _, file in ipairs(core.list(dir .. "/ckpt/" .. id)) do
          at[file] = (at[file] or 0) + 1
          if file:find "optimizer" then n = n + 1 end
        end
      end
      return n, at["adapter_model.safetensors"]
    end
    -- Cut after the second update and after the third: what goes on has passed states that it never loaded.
    for _, max in ipairs { 20, 24 } do
      in_folder(function(root, _, given)
        local cut = support.execute(boa, given { k = 4, steps = 3 }, { root = root, limits = { max_rollouts = max } })
        expect.equal(cut.status, "failed")
        expect.equal((optimisers(cut.run.dir)), 2)
        local r = run(boa, given { k = 4, steps = 3 }, { root = root })
        expect.equal(r.run.dir, cut.run.dir)
        local n, n_states = optimisers(r.run.dir)
        expect.equal(n, 0)
        expect.equal(n_states, 3)
        local whole = run(boa, given { k = 4, steps = 3 }, { root = root .. "/other" })
        expect.same(r.tables, whole.tables)
      end)
    end
  end)

  it("keeps the state of every snapshot, whatever was trained before it was named", function()
    in_folder(function(root)
      local files, goes_on = support.task_files(root), false
      local policies = support.main(function(_, p, vt)
        local policy, other = vt.policy(p.model), nil
        local g = policy:start():sample(vt.tasks({ ids = files.same })[1]:prompt(), { n = 3, temperature = 1.0 })
        for i, s in ipairs(g) do s.advantage = i - 2 end
        other = policy:branch(policy:start())
        policy:update(vt.batch { g }, { lr = 1e-3 })
        for i = 1, 3 do
          other:update(vt.batch { g }, { lr = i * 2e-3 })
          other:snapshot("other" .. i)
        end
        if not goes_on then error "cut" end
        for i = 4, 5 do
          other:update(vt.batch { g }, { lr = i * 2e-3 })
          other:snapshot("other" .. i)
        end
        policy:snapshot "first"
        return {}
      end)
      expect.equal(support.execute(policies, nil, { root = root .. "/runs" }).status, "failed")
      goes_on = true
      local r = run(policies, nil, { root = root .. "/runs" })
      expect.equal(#core.list(r.run.dir .. "/ckpt"), 6)
      local n = 0
      for _, line in ipairs(support.lines(r, "journal.jsonl")) do
        if line.key:find "^snapshot/" then
          n = n + 1
          expect.truthy(core.exists(("%s/ckpt/%s/adapter_model.safetensors"):format(r.run.dir, line.value.id)), line.key)
        end
      end
      expect.truthy(n >= 6, "all are named")
    end)
  end)

  it("makes a state again when its moments are gone", function()
    in_folder(function(root, _, given)
      local first = run(boa, given { k = 4, steps = 2 }, { root = root })
      core.remove(first.run.dir .. "/ckpt")
      local more = run(boa, given { k = 4, steps = 3 }, { root = root })
      expect.equal(more.counts.n_steps, 3)
      local whole = run(boa, given { k = 4, steps = 3 }, { root = root .. "/other" })
      expect.equal(more.tables.trajectory, whole.tables.trajectory)
    end)
  end)

  it("drains at an interrupt and continues", function()
    in_folder(function(root, _, given)
      local cut = support.execute(boa, given { k = 4, steps = 2 }, { root = root, signal_at = 6 })
      expect.equal(cut.status, "interrupted")
      local again = run(boa, given { k = 4, steps = 2 }, { root = root })
      expect.truthy(cut.counts.n_samples > 0 and again.counts.n_samples > 0, "both halves draw")
      for name, n in pairs(cut.counts.drawn) do
        expect.equal(n + (again.counts.drawn[name] or 0), 1, "sample " .. name)
      end
    end)
  end)

  it("stops at the budget and keeps what it has", function()
    in_folder(function(root, _, given)
      local r = support.execute(boa, given { k = 4, steps = 2 }, { root = root, limits = { max_rollouts = 12 } })
      expect.equal(r.status, "failed")
      expect.equal(r.value.kind, "budget")
      expect.contains(tostring(r.value), "raise --max-rollouts")
    end)
  end)

  it("asks for no more than the budget, also where groups are drawn at once", function()
    in_folder(function(root, _, given)
      local r = support.execute(boa, given { k = 4, steps = 2 }, { root = root, limits = { max_rollouts = 7 } })
      expect.equal(r.value.kind, "budget") -- two tasks of four samples: the second group has no room beside the first
      expect.contains(tostring(r.value), "leaves 3 (4 charged), and 4 more are asked for")
      expect.equal(r.counts.n_samples, 4)
      expect.equal(r.run.meter.charged.rollouts, 4)
      expect.same(r.run.meter.held, { charged = 0, drawn = 0, usd = 0 })
    end)
  end)

  it("counts only what is drawn here, where the budget is of that", function()
    in_folder(function(root, _, given)
      local function drawn(k, max_drawn)
        local p = given { k = k }
        p.lr = nil
        return support.execute(best_of_n, p, { root = root, limits = { max_drawn = max_drawn } })
      end
      expect.equal(drawn(4).meter.spent.rollouts, 8)
      local r = drawn(6, 3) -- two tasks of two samples each are left, and four are no three
      expect.equal(r.value.kind, "budget")
      expect.contains(tostring(r.value), "the limit of 3 samples drawn here leaves 1 (2 drawn), and 2 more are asked for; raise --max-drawn")
      r = drawn(6, 4)
      expect.equal(r.status, "done")
      expect.equal(r.meter.charged.rollouts, 12)
    end)
  end)

  it("gives what a failed group had reserved to the next", function()
    in_folder(function(root)
      local files = support.task_files(root)
      local r = support.execute(support.main(function(_, p, vt)
        local w, task = vt.policy(p.model):start(), vt.tasks({ ids = files.same })[1]
        w:sample(task:prompt(), { n = 3, max_tokens = 2 })
        expect.raises("drawn before", w.sample, w, task:prompt(), { n = 3, max_tokens = 2 })
        pcall(vt.race, { function() w:sample(task:prompt(), { n = 3, max_tokens = 2, draw = "given up" }) end,
          function() error "no" end })
        w:sample(task:prompt(), { n = 3, max_tokens = 2, draw = "second" })
        return {}
      end), nil, { root = root .. "/runs", limits = { max_rollouts = 6 } })
      expect.equal(r.status, "done")
    end)
  end)

  it("divides the budget among the cells of a sweep", function()
    in_folder(function(root)
      core.write(root .. "/cell.lua", [[
        local vt = require "vegttt"
        return vt.experiment { name = "cell", doc = "", params = vt.params { x = { 1, "x" } }, main = function(_, p)
          return { n = #vt.policy(p.model):start():sample(vt.tasks({ ids = "19" })[1]:prompt(), { n = p.x, max_tokens = 2 }) }
        end }]])
      local sweep = support.main(function(run, p, vt)
        run:sweep(vt.load(root .. "/cell.lua"), vt.grid { x = { 1, 2, 3 } }, { fixed = { model = p.model }, jobs = 3 })
        return {}
      end, { name = "outer" })
      local r = support.execute(sweep, nil, { root = root .. "/runs", limits = { max_rollouts = 4 } })
      expect.equal(r.value.kind, "budget")
      expect.equal(r.run.meter.charged.rollouts, 3) -- each its own four would be six
      r = support.execute(sweep, nil, { root = root .. "/runs", limits = { max_rollouts = 2 } })
      expect.equal(r.run.meter.charged.rollouts, 1) -- a cell that is recorded is charged too
    end)
  end)

  it("draws anew for a replicate", function()
    in_folder(function(root, _, given)
      local a = run(boa, given { k = 4, steps = 0 }, { root = root })
      local b = run(boa, given { k = 4, steps = 0 }, { root = root, replicate = 1 })
      expect.equal(b.counts.n_samples, 16) -- and the fresh draw
      expect.truthy(a.run.id ~= b.run.id, "run ids differ")
    end)
  end)
end)

describe("what a run says of itself", function()
  it("are the values that were used, and where each came from", function()
    in_folder(function(root, given)
      local function main(run, p, vt)
        local before = { lr = p.lr, max_tokens = p.max_tokens }
        local policy = vt.policy(p.model)
        run:save("seen", { before = before, lr = p.lr, temperature = p.temperature, max_tokens = p.max_tokens, stop = p.stop })
        return { options = vt.sampling(p).max_tokens or false, k = p.k }
      end
      local r = run(support.main(main, { params = require("vegttt").adapt_params() }), { temperature = 0.5 }, { root = root })
      local seen = core.json_decode(core.read(r.run.dir .. "/seen.json"), "seen")
      expect.same(seen, { before = {}, lr = 1e-4, temperature = 0.5, max_tokens = 384, stop = { "\n}" } })
      expect.equal(r.value.options, false) -- another model has its own record
      local params = core.json_decode(core.read(r.run.dir .. "/params.json"), "params")
      for name, value in pairs { lr = 1e-4, max_tokens = 384 } do
        expect.equal(params[name].value, value)
        expect.contains(params[name].origin, "model record of ")
      end
      expect.equal(params.temperature.origin, "flag")
      expect.equal(params.k.origin, "default")
      local summary = core.json_decode(core.read(r.run.dir .. "/summary.json"), "summary")
      expect.equal(summary.params.lr, 1e-4)
      expect.same(summary.params.stop, { "\n}" })
    end)
  end)

  it("are in a sweep those of its cells, whether they ran now or before, and null where cells differ", function()
    in_folder(function(root)
      local function sweep(run, p, vt)
        local cell = vt.experiment { name = "cell", params = vt.adapt_params { x = { 1, "x" } },
          main = function(_, q) vt.policy(q.model) return { lr = q.lr } end }
        local cells = run:sweep(cell, { { x = 1, model = p.model }, { x = 2, model = p.model } })
        return { first = cells[1].lr, second = cells[2].lr }
      end
      local function origins(r) return core.json_decode(core.read(r.run.dir .. "/params.json"), "params") end
      local r = run(support.main(sweep, { params = require("vegttt").adapt_params() }), {}, { root = root })
      expect.equal(r.value.first, 1e-4)
      expect.equal(origins(r).lr.value, 1e-4)
      expect.contains(origins(r).lr.origin, "model record of ")
      expect.equal(r.run.resolved.max_tokens, 384)
      r = run(support.main(sweep, { params = require("vegttt").adapt_params { y = { 1, "another run of the same cells" } } }), {},
        { root = root })
      expect.equal(origins(r).lr.value, 1e-4)
      expect.equal(#core.list(root .. "/cell"), 2)
      local function two_models(run, p, vt)
        local cell = vt.experiment { name = "two", params = vt.adapt_params(),
          main = function(_, q) return { model = vt.policy(q.model).spec } end }
        return { n = #run:sweep(cell, vt.grid { model = { p.model, "tests/golden/tiny/chat" } }) }
      end
      r = run(support.main(two_models, { params = require("vegttt").adapt_params() }), {}, { root = root .. "/two" })
      expect.equal(origins(r).lr.value, nil)
      expect.equal(origins(r).lr.origin, "model records of its cells")
    end)
  end)

  it("is what was sampled, scored and trained, each by itself", function()
    in_folder(function(root, given)
      local r = run(support.main(function(_, p, vt)
        local policy = vt.policy(p.model)
        local w = policy:start()
        local g = w:sample(vt.tasks({ ids = given { k = 1 }.tasks[1] })[1]:prompt(), { n = 2, max_tokens = 4 })
        local n = #g[1].tokens + #g[2].tokens
        w:score(g.prompt, g[1].tokens)
        w:score(g.prompt, g[2].tokens, { bill = "teacher" })
        for i, s in ipairs(g) do s.advantage = i end
        policy:update(vt.batch(g), { lr = 1e-3 })
        return { n = n, first = #g[1].tokens }
      end), {}, { root = root })
      local m = r.meter.charged
      expect.equal(m.sampled_tokens, r.value.n)
      expect.equal(m.scored_tokens, r.value.n)
      expect.equal(m.update_tokens, r.value.n)
      expect.equal(m.student_tokens, r.value.n + r.value.first)
      expect.equal(m.teacher_tokens, r.value.n - r.value.first)
    end)
  end)
end)
