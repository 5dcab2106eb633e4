-- SPDX-License-Identifier: Apache-2.0
--
-- The shipped experiments that adapt weights, on the small model and the small tasks: each test names a number of the
-- script's result that a wrong formula would give otherwise.
local experiments = require "support_experiments"
local support = require "support"

local in_folder, run, rows, reader = experiments.in_folder, experiments.run, experiments.rows, experiments.reader

describe("sdpo", function()
  it("learns nothing from a teacher that reads what the student read", function()
    in_folder(function(root, files)
      local r = run("sdpo", { k = 4, steps = 2, context = "null", tasks = { files.same },
        model = support.model(true) }, root)
      local t = rows(r, "trajectory")
      expect.equal(#t, 1)
      expect.equal(t[1].advantage, 0)
      expect.equal(r.value.updates, 0)
      expect.equal(r.meter.charged.update_tokens, 0)
    end)
  end)

  it("learns nothing from itself over the head of the distribution either", function()
    in_folder(function(root, files)
      local given = { k = 4, steps = 2, context = "null", loss = "topk", topk = 3, tasks = { files.same }, model = support.model(true) }
      expect.equal(run("sdpo", given, root).value.updates, 0)
      given.context, given.lr = "feedback", 0.003
      local r = run("sdpo", given, root)
      expect.equal(r.value.updates, 2)
      expect.truthy(rows(r, "trajectory")[1].advantage > 0, "another reader, another distribution")
    end)
  end)

  it("has a teacher that lags behind: the start's at the first step, and a part of the way later", function()
    in_folder(function(root, files)
      local asked = {}
      for _, teacher in ipairs { "start", "ema", "current" } do
        local r = run("sdpo", { k = 4, steps = 2, context = "prompt", teacher = teacher, ema = 0.25, lr = 0.003, tasks = { files.same },
          model = support.model(true) }, root)
        asked[teacher] = rows(r, "trajectory")
        expect.equal(r.value.updates, 2)
      end
      expect.equal(asked.ema[1].advantage, asked.start[1].advantage)
      expect.equal(asked.ema[2].kl_start, asked.start[2].kl_start) -- so the first update is the same
      expect.truthy(asked.ema[2].advantage ~= asked.start[2].advantage and asked.ema[2].advantage ~= asked.current[2].advantage,
        "a teacher of its own at the second")
      local slow = rows(run("sdpo", { k = 4, steps = 2, context = "prompt", teacher = "ema", ema = 1e-4, lr = 0.003, tasks = { files.same },
        model = support.model(true) }, root), "trajectory")
      local from_start, apart = math.abs(slow[2].advantage - asked.start[2].advantage), math.abs(asked.current[2].advantage - asked.start[2].advantage)
      expect.truthy(from_start < 0.05 * apart, "a share of next to nothing leaves the teacher where it was")
    end)
  end)

  it("refuses a context that the window cannot hold before anything is drawn", function()
    in_folder(function(root, files)
      local r = support.execute(support.file "experiments/sdpo.lua", { k = 2, context = "both", max_tokens = 2000, tasks = { files.same } },
        { root = root .. "/runs" })
      expect.equal(r.status, "failed")
      expect.contains(tostring(r.value), "may need 4600 tokens behind the question")
      expect.equal(r.run.meter.spent.rollouts, 0)
    end)
  end)

  it("bills the teacher's tokens, moves the weights, and begins at no distance from the start", function()
    in_folder(function(root, files)
      local r = run("sdpo", { k = 4, steps = 1, context = "both", lr = 0.003, tasks = { files.same },
        model = support.model(true) }, root)
      local t = rows(r, "trajectory")
      expect.equal(#t, 2)
      expect.equal(t[1].kl_start, 0)
      expect.truthy(t[1].advantage > 0, "the teacher read more")
      expect.truthy(t[2].kl_start ~= 0, "the weights moved")
      expect.equal(r.value.updates, 1)
      expect.truthy(r.meter.charged.teacher_tokens > 0, "teacher tokens are billed")
    end)
  end)
end)

describe("isolated", function()
  it("is a batch of one: every step equals boa on that task alone", function()
    in_folder(function(root, files)
      local given = { k = 6, steps = 2, lr = 0.003 }
      local function with(tasks)
        local g = { tasks = tasks }
        for k, v in pairs(given) do g[k] = v end
        return g
      end
      local isolated = run("isolated", with { files.same, files.negated }, root)
      local both = rows(isolated, "tasks")
      reader(root, function(vt)
        local n = 0
        for _, g in ipairs(vt.filter(vt.rollouts(isolated.run.dir), function(x) return x.draw == "fresh" end)) do
          n = n + 1
          expect.equal(g.place, isolated.value.steps[tostring(g.task.id)], "a second draw of the step that the task chose")
        end
        expect.equal(n, 2)
      end)
      expect.equal(isolated.meter.charged.rollouts, 2 * 6 * 4)
      expect.equal(#both, 6)
      local n = 0
      for _, file in ipairs { files.same, files.negated } do
        for _, row in ipairs(rows(run("boa", with { file }, root), "trajectory")) do
          n = n + 1
          expect.equal(both[n].step, row.step)
          expect.near(both[n].sample_correct, row.sample_correct, 1e-9)
          expect.near(both[n].sample_fast_1_sure, row.sample_fast_1_sure, 1e-9)
          expect.near(both[n].distinct, row.distinct, 1e-9)
        end
      end
    end)
  end)
end)

describe("lr_sweep", function()
  it("shares the first step of a seed, and goes further at a higher rate", function()
    in_folder(function(root, files)
      local r = run("lr_sweep", { k = 6, steps = 1, lr = { 1e-5, 1e-2 }, tasks = { files.same } }, root)
      local t = rows(r, "steps")
      expect.equal(#t, 4)
      for i = 1, 3, 2 do
        expect.equal(t[i].kl_start, 0)
        expect.equal(t[i].sample_fast_1_sure, t[1].sample_fast_1_sure)
      end
      expect.truthy(math.abs(t[4].kl_start) > math.abs(t[2].kl_start), "further")
      expect.equal(r.value.failed, 0)
    end)
  end)
end)

describe("transfer", function()
  it("pairs tasks, and knows what the weights were trained on", function()
    in_folder(function(root, files)
      local boa = run("boa", { k = 8, steps = 1, lr = 0.003, tasks = { files.same } }, root)
      local given = { k = 6, from = boa.run.dir .. "@step1", tasks = { files.same, files.negated } }
      local r = run("transfer", given, root)
      local t = rows(r, "tasks")
      expect.equal(t[1].met, "task")
      expect.equal(t[2].met, "family")
      expect.equal(rows(r, "weights")[1].kl_start, 0)
      expect.truthy(rows(r, "weights")[2].kl_start ~= 0)
      given.unseen = true
      local none = support.execute(support.file "experiments/transfer.lua", given, { root = root .. "/runs" })
      expect.contains(tostring(none.value), "every task was met")
    end)
  end)
end)

describe("budget", function()
  it("spends the same in every arm, and its first arm is Best-of-N", function()
    in_folder(function(root, files)
      local given = { total = 8, k = 4, steps = 2, lr = 0.003, tasks = { files.same } }
      local r = run("budget", given, root)
      local t = rows(r, "arms")
      expect.equal(#t, 3)
      expect.equal(t[1].ties, 1)
      local n = run("best_of_n", { k = 8, tasks = { files.same } }, root)
      reader(root, function(vt)
        local best = 1
        for _, s in ipairs(vt.flatten(vt.rollouts(n.run.dir))) do
          if vt.stats.is_sure(s.result, 1) then best = math.max(best, s.result.speedup) end
        end
        expect.near(t[1].speedup, best, 1e-5 * best)
      end)
      expect.equal(r.meter.charged.rollouts, 3 * 8)
      given.total = 7
      local bad = support.execute(support.file "experiments/budget.lua", given, { root = root .. "/runs" })
      expect.contains(tostring(bad.value), "are more than --total 7")
    end)
  end)
end)

describe("rlvr", function()
  it("never trains on what it evaluates on, and stops at a guardrail", function()
    in_folder(function(root, files)
      local given = { k = 4, steps = 2, batch = 1, eval_every = 1, lr = 0.003, tasks = { files.same },
        eval_tasks = { files.negated }, min_correct = 0.0 }
      local r = run("rlvr", given, root)
      expect.equal(#rows(r, "progress"), 3)
      expect.equal(rows(r, "progress")[1].kl_start, 0)
      expect.equal(r.value.stopped, "")
      given.min_correct = 1.0
      local stopped = run("rlvr", given, root)
      expect.contains(stopped.value.stopped, "--min_correct 1.00")
      expect.equal(#rows(stopped, "progress"), 1)
      given.eval_tasks = { files.same }
      expect.raises("would be trained on", run, "rlvr", given, root)
    end)
  end)
end)

describe("curriculum", function()
  it("measures every batch after every stage, and names the differences", function()
    in_folder(function(root, files)
      local r = run("curriculum", { k = 4, steps = 1, lr = 0.003, split = "", batches = files.same .. ";" .. files.negated },
        root)
      local after = {}
      for _, row in ipairs(rows(r, "matrix")) do after[row.learnt .. "," .. row.batch] = row.sample_fast_1_sure end
      expect.near(r.value.forward, after["1,2"] - after["0,2"], 1e-6)
      expect.near(r.value.backward, after["2,1"] - after["1,1"], 1e-6)
      expect.near(r.value.own, (after["1,1"] - after["0,1"] + after["2,2"] - after["1,2"]) / 2, 1e-6)
      expect.equal(r.meter.charged.rollouts, 3 * 2 * 4)
    end)
  end)
end)

describe("an entropy bonus", function()
  it("pushes up what was less likely than most, and no more than it takes elsewhere", function()
    support.inside(function(_, _, vt)
      local g = { task = { id = 1, name = "t" }, { tokens = { 1, 2 }, logprobs = vt.vector { -1, -3 }, advantage = 0.5 },
        { tokens = { 3 }, logprobs = vt.vector { -2 }, advantage = 0 } }
      vt.advantage.entropy_bonus { beta = 0.1 } { g }
      -- The mean of the three is -2.
      expect.near(g[1].advantage[1], 0.5 - 0.1, 1e-6)
      expect.near(g[1].advantage[2], 0.5 + 0.1, 1e-6)
      expect.near(g[2].advantage[1], 0, 1e-6)
      expect.raises("has no advantage", vt.advantage.entropy_bonus {}, { { { tokens = {}, logprobs = vt.vector { -1 } } } })
    end)
  end)

  it("and a pull to the average are parameters of every script that adapts", function()
    in_folder(function(root, files)
      local given = { k = 6, steps = 2, lr = 0.003, tasks = { files.same }, redraw = false }
      local ids = {}
      for name, more in pairs { none = {}, entropy = { entropy = 0.5 }, start = { kl = 0.5 }, ema = { kl = 0.5, anchor = "ema", ema = 0.5 } } do
        local g = {}
        for _, t in ipairs { given, more } do
          for k, v in pairs(t) do g[k] = v end
        end
        local r = run("boa", g, root)
        ids[name] = {}
        for _, line in ipairs(support.lines(r, "metrics.jsonl")) do
          if line.kind == "update" then ids[name][line.step] = line.max_advantage end
        end
      end
      expect.truthy(ids.entropy[1] ~= ids.none[1], "the bonus")
      expect.equal(ids.start[1], ids.none[1]) -- at the start there is no distance yet
      expect.equal(ids.ema[1], ids.none[1])
      expect.truthy(ids.start[2] ~= ids.ema[2], "the average has moved half of the way")
    end)
  end)
end)

describe("ablations", function()
  it("keeps the number of rollouts in its grid", function()
    in_folder(function(root, files)
      local r = run("ablations", { which = "grid", scale = 0.125, lr = 0.003, tasks = { files.same } }, root)
      local t = rows(r, "cells")
      expect.equal(#t, 4) -- 12 rollouts: 12 x 1, 6 x 2, 4 x 3, 2 x 6
      for _, row in ipairs(t) do expect.equal(row.rollouts, 12) end
      expect.equal(t[1].first_fast_1_sure, t[1].last_fast_1_sure)
    end)
  end)

  it("varies a prompt or a reward, and says where each peaks", function()
    in_folder(function(root, files)
      local r = run("ablations", { which = "reward", k = 4, lr = 0.003, tasks = { files.same } }, root)
      local peaks, t = rows(r, "peaks"), rows(r, "cells")
      expect.equal(#peaks, 3)
      for i, name in ipairs { "default", "raw", "sparse" } do
        expect.equal(t[i].value, name)
        expect.equal(peaks[i].value, name)
        expect.near(peaks[i].gain, t[i].best_fast_1_sure - t[i].first_fast_1_sure, 1e-9)
        expect.equal(t[i].first_fast_1_sure, t[1].first_fast_1_sure) -- one first step for all
      end
      local systems = rows(run("ablations", { which = "system", values = { "Be terse.", "Be quick." }, k = 4, steps = 0,
        tasks = { files.same }, model = support.model(true) }, root), "cells")
      expect.equal(systems[2].value, "Be quick.")
      expect.equal(systems[2].best_step, 0)
      expect.raises("this chat format has no such setting", run, "best_of_n", { k = 1, reasoning = "low", tasks = { files.same } }, root)
    end)
  end)
end)

describe("boa's controls", function()
  local given = { k = 6, steps = 2, lr = 0.003 }
  local function with(files, more)
    local out = { tasks = { files.same, files.negated } }
    for k, v in pairs(given) do out[k] = v end
    for k, v in pairs(more) do out[k] = v end
    return out
  end

  it("frozen: no update, every step a new draw from the same weights", function()
    in_folder(function(root, files)
      local r = run("boa", with(files, { null = "frozen" }), root)
      expect.equal(#rows(r, "trajectory"), 3)
      expect.equal(r.meter.charged.update_tokens, 0)
      local ids, texts = {}, {}
      reader(root, function(vt)
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          local all = {}
          for i, s in ipairs(g) do all[i] = s.seed end
          ids[g.weights.id], texts[table.concat(all, ",")] = true, true
        end
      end)
      local n_ids, n_draws = 0, 0
      for _ in pairs(ids) do n_ids = n_ids + 1 end
      for _ in pairs(texts) do n_draws = n_draws + 1 end
      expect.equal(n_ids, 1)
      expect.equal(n_draws, 8) -- two tasks, three steps and the fresh draw
    end)
  end)

  it("shuffled: the same advantages in each task, on other samples", function()
    in_folder(function(root, files)
      local sorted = {}
      for _, null in ipairs { "none", "shuffled" } do
        local r = run("boa", with(files, { null = null, steps = 1 }), root)
        reader(root, function(vt)
          local of_task = {}
          for _, g in ipairs(vt.rollouts(r.run.dir)) do
            if g.step == 0 and g.draw == "main" then
              local values, by_sample = {}, {}
              for i, s in ipairs(g) do values[i], by_sample[i] = s.advantage, s.advantage end
              table.sort(values)
              of_task[#of_task + 1] = { table.concat(values, " "), table.concat(by_sample, " ") }
            end
          end
          sorted[null] = of_task
        end)
      end
      local n_moved = 0
      for i = 1, 2 do
        expect.equal(sorted.none[i][1], sorted.shuffled[i][1])
        if sorted.none[i][2] ~= sorted.shuffled[i][2] then n_moved = n_moved + 1 end
      end
      expect.truthy(n_moved > 0, "some advantages moved")
    end)
  end)

  it("the fresh draw is independent, of the chosen weights, and charged", function()
    in_folder(function(root, files)
      local r = run("boa", with(files, {}), root)
      expect.equal(r.meter.charged.rollouts, 2 * 6 * 4)
      expect.near(r.value.fresh_gain, r.value.fresh - r.value.first, 1e-9)
      local none = run("boa", with(files, { redraw = false }), root)
      expect.equal(none.meter.charged.rollouts, 2 * 6 * 3)
      expect.equal(none.value.step, r.value.step)
      -- Each checkpoint's pass@1 is its share, and one of its six is fast_1 where the task is solved.
      local shares, solved = {}, {}
      for _, row in ipairs(rows(r, "trajectory")) do shares[row.step] = row.sample_fast_1 end
      reader(root, function(vt)
        for _, drawn in ipairs(vt.group_by(vt.filter(vt.rollouts(r.run.dir), function(g) return g.draw ~= "fresh" end), "place")) do
          solved[drawn.key] = vt.stats.task_success(drawn, 1).value
        end
      end)
      for _, row in ipairs(rows(r, "pass")) do
        if row.k == 1 then expect.near(row.pass, shares[row.step], 1e-9) end
        if row.k == 6 then expect.near(row.pass, solved[row.step], 1e-9) end
      end
      expect.equal(#rows(r, "pass"), 3 * 4) -- three checkpoints, k = 1, 2, 4 and 6
      reader(root, function(vt)
        local chosen, fresh = {}, {}
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          local to = g.draw == "fresh" and fresh or g.step == r.value.step and chosen or {}
          for _, s in ipairs(g) do to[#to + 1] = s.seed end
          if g.draw == "fresh" then expect.equal(g.weights.id, r.value.weights) end
        end
        for i, seed in ipairs(fresh) do expect.truthy(seed ~= chosen[i], "another seed") end
      end)
    end)
  end)
end)

describe("a preset", function()
  it("gives what a text states to what is not given, and says so", function()
    support.inside(function(_, _, vt, m)
      local declared = vt.load("experiments/boa.lua").params
      local p, from = m.params.resolve(declared, { preset = "paper-a", k = 4 }, "flag")
      expect.equal(p.k, 4)
      expect.equal(from.k.origin, "flag")
      expect.equal(p.lr, 1e-6)
      expect.equal(from.lr.origin, "preset paper-a")
      expect.equal(p.reward, "paper")
      expect.equal(p.temperature, 0.25)
      expect.equal(m.params.resolve(declared, { preset = "paper-b" }, "flag").lr, 1e-5)
      local short = m.params.resolve(declared, { preset = "report-short" }, "flag")
      expect.equal(short.temperature, 0.4)
      expect.equal(short.max_tokens, 512)
      expect.equal(m.params.resolve(vt.load("experiments/best_of_n.lua").params, { preset = "paper-a" }, "flag").k, 64)
      local function of(script, preset) return m.params.resolve(vt.load(("experiments/%s.lua"):format(script)).params, { preset = preset }, "flag") end
      for _, name in ipairs { "paper-a", "paper-b", "report" } do
        local outer, sdpo = of("rlvr", name), of("sdpo", name)
        expect.equal(("%d %d %d %d"):format(outer.k, outer.steps, outer.batch, outer.eval_every), "8 40 8 10")
        expect.equal(#sdpo.tasks * sdpo.k * (sdpo.steps + 1), 320, "the papers' rollouts of SDPO")
        expect.equal(of("isolated", name).k, 32)
      end
      local discover = of("discover", "discover")
      expect.equal(("%d %d %d"):format(discover.k, discover.groups, discover.steps), "64 8 50")
      local none = m.params.resolve(declared, {}, "flag")
      expect.equal(none.reward, "default")
    end)
  end)
end)

describe("discover", function()
  it("begins at the question alone and goes on from what it found", function()
    in_folder(function(root, files)
      local r = run("discover", { k = 8, groups = 2, steps = 1, lr = 0.003, tasks = { files.same } }, root)
      local t = rows(r, "steps")
      expect.equal(t[1].groups, 1)
      expect.equal(t[1].from_archive, 0)
      expect.truthy(t[2].from_archive >= 1, "a group goes on from a kernel")
      expect.truthy(t[2].speedup >= t[1].speedup - 1e-9, "the best so far stays")
      local kernel = rows(r, "kernels")[1]
      expect.near(r.value.speedup, tonumber(kernel.speedup) or 1, 1e-4 * r.value.speedup, "of the second verdict, not the first")
      expect.near(r.value.first_speedup, t[2].speedup, 1e-4 * r.value.first_speedup)
      reader(root, function(vt)
        local n = 0
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          local text = g.prompt:messages({})[2].content
          if text:find("times as fast:", 1, true) then n = n + 1 end
        end
        expect.equal(n, t[2].from_archive)
      end)
    end)
  end)
end)

describe("a learner", function()
  it("draws anew where a batch asked for nothing, and goes on", function()
    in_folder(function(root, files)
      -- All answers alike: at temperature 0 every reward is the same, and every advantage 0.
      local r = support.run(support.file "experiments/boa.lua", { k = 3, steps = 2, temperature = 0.0,
        tasks = { files.same } }, { root = root .. "/runs" })
      expect.equal(#rows(r, "trajectory"), 3)
      expect.equal(r.meter.charged.update_tokens, 0)
      expect.equal(r.meter.charged.rollouts, 3 * 4)
    end)
  end)
end)

describe("a draw's place in the trajectory", function()
  it("is its own under the frozen null, where the weights stay at step 0", function()
    in_folder(function(root, files)
      local r = run("boa", { k = 6, steps = 2, null = "frozen", tasks = { files.same } }, root)
      reader(root, function(vt)
        local places = {}
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          expect.equal(g.weights.step, 0)
          places[#places + 1] = ("%s %d"):format(g.draw, g.place)
          expect.equal(g[1].place, g.place)
        end
        table.sort(places)
        expect.equal(table.concat(places, ", "), ("fresh %d, frozen0 0, frozen1 1, frozen2 2"):format(r.value.step))
        local t = rows(r, "trajectory")
        for _, set in ipairs(vt.group_by(vt.filter(vt.rollouts(r.run.dir), function(g) return g.draw ~= "fresh" end), "place")) do
          expect.near(vt.scores(set).distinct, t[set.key + 1].distinct, 1e-9)
        end
      end)
    end)
  end)

  it("makes of a frozen sweep as many rows as steps, and of a skipped update a step", function()
    in_folder(function(root, files)
      local r = run("lr_sweep", { k = 6, steps = 2, null = "frozen", lr = { 1e-5 }, tasks = { files.same } }, root)
      local t = rows(r, "steps")
      expect.equal(#t, 3)
      for i, row in ipairs(t) do expect.equal(row.step, i - 1) end
      local a = run("ablations", { k = 6, steps = 2, null = "frozen", which = "temperature", values = { 1.0 }, tasks = { files.same } }, root)
      expect.equal(rows(a, "cells")[1].rollouts, 18)
      local best = 0
      for _, row in ipairs(t) do best = math.max(best, row.sample_fast_1_sure) end
      expect.near(rows(a, "cells")[1].best_fast_1_sure, best, 1e-9, "the same draws, the best of three steps")
    end)
  end)

  it("is read by gather and by derived tables", function()
    in_folder(function(root, files)
      local r = run("boa", { k = 6, steps = 1, null = "frozen", redraw = false, tasks = { files.same } }, root)
      local presort = run("presort", { from = r.run.dir, step = 1 }, root)
      expect.equal(presort.value.groups, 1)
    end)
  end)
end)
