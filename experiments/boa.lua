-- SPDX-License-Identifier: Apache-2.0
--- Best-of-Adaptation: adapt a LoRA on the test batch, keep the best step.
local vt = require "vegttt"

-- The shares of one step's rollouts, on which it is also chosen: a maximum over its own data.
local function scores(step, groups)
  local samples, fast = vt.flatten(groups), vt.stats.fast(groups, 1)
  local n_distinct = #vt.group_by(samples, function(s) return s.code_sha or s.text end)
  return { step = step, correct = vt.stats.rate(groups, "correct").value, fast_1 = fast.value,
    fast_1_sure = vt.stats.fast_sure(groups, 1).value, lo = fast.lo, hi = fast.hi, distinct = n_distinct / #samples }
end

return vt.experiment {
  name = "boa",
  doc = "Batch test-time training with checkpoint selection.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 3, "gradient steps (the papers: 5)", extend = true },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model)
    local reward, advantage = vt.reward.default(), vt.advantage.batch_z()
    local stop = vt.early_stop { patience = p.patience }
    local steps, drawn = {}, {}

    for step = 0, p.steps do
      if step > 0 then
        run:stage(("update %d of %d"):format(step, p.steps))
        local u = policy:update(vt.batch(advantage(reward(drawn[step]))), { lr = p.lr, loss = "importance_sampling" })
        run:log("update", { step = step, loss = u.loss, grad_norm = u.grad_norm, ess = u.ess, kl = u.kl_sample_train,
          n_tokens = u.n_tokens })
      end
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.draw(weights, tasks, p)
      local s = scores(step, groups)
      drawn[step + 1], steps[step + 1] = groups, s
      run:log("step", { step = step, fast_1 = s.fast_1, fast_1_sure = s.fast_1_sure, correct = s.correct,
        distinct = s.distinct })
      if stop:offer(s.fast_1, { step = step, snapshot = weights, groups = groups }) == "stop" then break end
    end

    local best = stop:best()
    local trajectory = run:table("trajectory", { "step", "correct", "fast_1", "fast_1_sure", "lo", "hi", "distinct",
      "best" })
    for _, s in ipairs(steps) do
      trajectory:row(s.step, s.correct, s.fast_1, s.fast_1_sure, s.lo, s.hi, s.distinct, s.step == best.step and "*" or "")
    end
    run:plot("trajectory", { kind = "line", data = trajectory, x = "step", y = { "fast_1", "fast_1_sure", "correct" },
      band = { "lo", "hi" }, star = "best", y_label = "share of samples; band: 95 % interval of fast_1",
      title = "Adaptation trajectory (star: chosen on these samples)" })

    local per_task = run:table("tasks", { "task", "name", "correct", "fast_1", "fast_1_sure", "seen" })
    for i, row in ipairs(vt.stats.by_task(best.groups)) do
      per_task:row(row.task, row.name, row.correct, row.fast_1, row.fast_1_sure, best.groups[i].seen or "")
    end

    run:kernels(drawn, { steps = true }) -- the best kernel of a task may come from any step
    run:save("selected", best.snapshot)
    return { step = best.step, fast_1 = best.score, weights = best.snapshot.id, first_fast_1 = steps[1].fast_1 }
  end,
}
