-- SPDX-License-Identifier: Apache-2.0
--- Best-of-Adaptation: adapt a LoRA on the test batch, keep the best step.
local vt = require "vegttt"

-- The shares of one step's rollouts, on which it is also chosen: a maximum over its own data.
local function scores(step, groups)
  local m = vt.stats.metrics(groups)
  return { step = step, sample_correct = m.sample_correct.value, sample_fast_1 = m.sample_fast_1.value,
    sample_fast_1_sure = m.sample_fast_1_sure.value, lo = m.sample_fast_1.lo, hi = m.sample_fast_1.hi,
    distinct = vt.step_stats(groups).distinct }
end

return vt.experiment {
  name = "boa",
  doc = "Batch test-time training with checkpoint selection.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 3, "gradient steps (the papers: 5)", extend = true },
    reward = { "default", "reward and advantage: log speedup and leave-one-out, or the papers'",
      choices = { "default", "paper" } },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model)
    local reward, advantage = vt.reward[p.reward](), vt.advantage[p.reward]()
    local stop = vt.early_stop { patience = p.patience }
    local steps, drawn = {}, {}

    for step = 0, p.steps do
      if step > 0 then
        run:stage(("update %d of %d"):format(step, p.steps))
        local u = policy:update(vt.batch(advantage(reward(drawn[step]))), { lr = p.lr, loss = "importance_sampling",
          floor = policy.caps.agreement and -1 or nil }) -- measures how well half batches agree, skips nothing
        local line = vt.step_stats(drawn[step], u)
        line.step = step
        run:log("update", line)
      end
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.draw(weights, tasks, p)
      local s = scores(step, groups)
      drawn[step + 1], steps[step + 1] = groups, s
      run:log("step", s)
      if stop:offer(s.sample_fast_1, { step = step, snapshot = weights, groups = groups }) == "stop" then break end
    end

    local best = stop:best()
    local trajectory = run:table("trajectory", { "step", "sample_correct", "sample_fast_1", "lo", "hi",
      "sample_fast_1_sure", "distinct", "best" })
    for _, s in ipairs(steps) do
      trajectory:row(s.step, s.sample_correct, s.sample_fast_1, s.lo, s.hi, s.sample_fast_1_sure, s.distinct,
        s.step == best.step and "*" or "")
    end
    run:plot("trajectory", { kind = "line", data = trajectory, x = "step",
      y = { "sample_correct", "sample_fast_1", "sample_fast_1_sure" },
      star = "best", title = "Adaptation trajectory", y_label = "share of samples" })

    local per_task = run:table("tasks", { "task", "name", "correct", "fast_1", "fast_1_sure", "seen" })
    for i, row in ipairs(vt.stats.by_task(best.groups)) do
      per_task:row(row.task, row.name, row.correct, row.fast_1, row.fast_1_sure, best.groups[i].seen or "")
    end

    run:kernels(drawn, { steps = true }) -- the best kernel of a task may come from any step
    run:save("selected", best.snapshot)
    return { step = best.step, sample_fast_1 = best.score, weights = best.snapshot.id,
      first_sample_fast_1 = steps[1].sample_fast_1 }
  end,
}
