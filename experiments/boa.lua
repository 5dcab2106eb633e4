-- SPDX-License-Identifier: Apache-2.0
--- Best-of-Adaptation: adapt a LoRA on the test batch, keep the best step.
local vt = require "vegttt"

local function tasks_of(p)
  return vt.tasks { split = p.split, subset = p.subset, ids = p.tasks }
end

return vt.experiment {
  name = "boa",
  doc = "Batch test-time training with checkpoint selection.",
  params = vt.params {
    split = { "splits/l1_seed42.json", "problem split; empty = every task there is" },
    subset = { "eval", "which half of the split", choices = { "train", "eval" } },
    tasks = { "4,5,12,14,15", "problem ids adapted together; empty = the whole subset", list = true },
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 3, "gradient steps (the papers: 5)", min = 0, extend = true },
    lr = { nil, "learning rate", type = "number", min = 0 },
    patience = { 0, "stop after so many steps in a row without a new best; 0 = run every step", min = 0 },
    eval = { "fast", "timing protocol", choices = { "fast", "full" } },
  },

  plan = function(p)
    local tasks = tasks_of(p)
    local n = #tasks * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks = tasks_of(p)
    local policy = vt.policy(p.model)
    local reward, advantage = vt.reward.default(), vt.advantage.batch_z()
    local stop = vt.early_stop { patience = p.patience }
    local trajectory = run:table("trajectory", { "step", "correct", "fast_1", "fast_1_sure", "lo", "hi", "distinct",
      "best" })
    local steps, drawn, batch = {}, {}, nil

    for step = 0, p.steps do
      if step > 0 then
        run:stage(("update %d of %d"):format(step, p.steps))
        local u = policy:update(batch, { lr = p.lr, loss = "importance_sampling" })
        run:log("update", { step = step, loss = u.loss, grad_norm = u.grad_norm, ess = u.ess, kl = u.kl_sample_train,
          n_tokens = u.n_tokens })
      end
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.map(tasks, function(task)
        local group = weights:sample(task:prompt(), {
          n = p.k, temperature = p.temperature, max_tokens = p.max_tokens,
          top_p = p.top_p, top_k = p.top_k, min_p = p.min_p, stop = p.stop,
        })
        return vt.eval.all(group, { protocol = p.eval })
      end)

      drawn[step + 1] = groups
      -- A step is scored on its own rollouts; the score is a maximum over the data it is chosen on.
      local fast, sure = vt.stats.fast(groups, 1), vt.stats.fast_sure(groups, 1)
      local verdict = stop:offer(fast, { step = step, snapshot = weights, groups = groups })
      local distinct = #vt.group_by(vt.flatten(groups), function(s) return s.code_sha or s.text end) / (#tasks * p.k)
      steps[#steps + 1] = { step = step, fast_1 = fast.value, fast_1_sure = sure.value,
        correct = vt.stats.rate(groups, "correct").value, lo = fast.lo, hi = fast.hi, distinct = distinct }
      run:log("step", { step = step, fast_1 = fast.value, fast_1_sure = sure.value, correct = steps[#steps].correct,
        distinct = distinct })
      if verdict == "stop" then break end
      if step < p.steps then batch = vt.batch(advantage(reward(groups))) end
    end

    local best = stop:best()
    for _, s in ipairs(steps) do
      s.best = s.step == best.step and "*" or ""
      trajectory:row(s.step, s.correct, s.fast_1, s.fast_1_sure, s.lo, s.hi, s.distinct, s.best)
    end
    run:plot("trajectory", { kind = "line", data = trajectory, x = "step", y = { "correct", "fast_1", "fast_1_sure" },
      star = "best", title = "Adaptation trajectory", y_label = "share of samples" })

    local per_task = run:table("tasks", { "task", "name", "correct", "fast_1", "fast_1_sure", "seen" })
    for i, row in ipairs(vt.stats.by_task(best.groups)) do
      per_task:row(row.task, row.name, row.correct, row.fast_1, row.fast_1_sure, best.groups[i].seen or "")
    end

    -- The best kernel of a task may come from any step.
    run:stage("judging the best again")
    local kernels = run:table("kernels", { "task", "name", "step", "speedup", "lo", "hi", "first", "tried" })
    for _, b in ipairs(vt.eval.best(drawn)) do
      local v, first = b.verdict or {}, b.first or {}
      kernels:row(b.task.id, b.task.name, b.sample and b.sample.weights.step, v.speedup, v.speedup_lo, v.speedup_hi,
        first.speedup, b.n_tried)
    end
    run:save("selected", best.snapshot)
    return { step = best.step, fast_1 = best.score, weights = best.snapshot.id, first_fast_1 = steps[1].fast_1 }
  end,
}
