-- SPDX-License-Identifier: Apache-2.0
--- Best-of-Adaptation: adapt a LoRA on the test batch, keep the best step, and draw again from it: a step's own score is
--- a maximum over the data that chose it.
local vt = require "vegttt"

-- What there is to find among everything drawn so far: tasks solved for sure, geometric mean of their best speedups.
local function found(drawn)
  local n, logs, tasks = 0, 0, 0
  for _, g in ipairs(vt.group_by(vt.flatten(drawn), function(group) return group.task.id end)) do
    local best = vt.max_by(vt.flatten(g), function(s) return vt.stats.is_sure(s.result, 1) and s.result.speedup or nil end)
    tasks = tasks + 1
    if best then n, logs = n + 1, logs + math.log(best.result.speedup) end
  end
  return n / tasks, math.exp(logs / tasks)
end

-- Rules that choose a step after the fact, for the table of the papers: the last step, the best, the best when the first step
-- that is no better ends it, and each task's own.
local function choices(run, steps, best)
  local t, shares, tasks = run:table("choices", { "rule", "step", "sample_fast_1_sure" }), {}, {}
  local function early(values) -- the best of the steps up to the first that is no better
    local stop = vt.early_stop { patience = 1 }
    for i, v in ipairs(values) do
      if stop:offer(v, { step = steps[i].step }) == "stop" then break end
    end
    return stop:best()
  end
  for i, s in ipairs(steps) do
    shares[i] = s.scores.sample_fast_1_sure
    for j, row in ipairs(vt.stats.by_task(s.groups)) do
      tasks[j] = tasks[j] or {}
      tasks[j][i] = row.fast_1_sure
    end
  end
  local own_early, own_best, stopped = {}, {}, early(shares)
  for j, values in ipairs(tasks) do own_early[j], own_best[j] = early(values).score, math.max(table.unpack(values)) end
  t:row("start", 0, shares[1])
  t:row("last", steps[#steps].step, shares[#shares])
  t:row("best", best.step, best.scores.sample_fast_1_sure)
  t:row("early stop", stopped.step, stopped.score)
  t:row("each task's early stop", "", vt.stats.mean(own_early))
  t:row("each task's best", "", vt.stats.mean(own_best))
end

return vt.experiment {
  name = "boa",
  doc = "Batch test-time training with checkpoint selection.",
  takes = "117 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 3, "gradient steps (the papers: 5)", extend = true },
    by = { "sample_fast_1_sure", "what a step is chosen by (the papers: sample_fast_1)",
      choices = { "sample_fast_1", "sample_fast_1_sure" } },
    redraw = { true, "draw again from the chosen step, so that its score is not a maximum" },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + (p.redraw and 2 or 1))
    return { tasks = tasks, samples = n, evaluations = n, updates = p.null == "frozen" and 0 or p.steps }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model):need(p.null ~= "frozen" and "update" or nil)
    local learner, stop = vt.learner(run, p), vt.early_stop { patience = p.patience }
    local steps, drawn = {}, {}
    local trajectory = run:table("trajectory", { "step", "sample_correct", "sample_fast_1_sure", "lo", "hi",
      "sample_fast_1", "no_copies", "per_code", "distinct", "rollouts", "solved", "speedup", "best" })
    local rows, pass = {}, run:table("pass", { "step", "k", "pass", "pass_sure" }) -- what a search from each checkpoint would find

    for step = 0, p.steps do
      if step > 0 then
        run:stage(("update %d of %d"):format(step, p.steps))
        learner:step(policy, drawn[step])
      end
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.draw(weights, tasks, p, { draw = learner:draw(step), place = step })
      local s = vt.scores(groups)
      drawn[step + 1] = groups
      steps[step + 1] = { step = step, draw = learner:draw(step), groups = groups, weights = weights, scores = s }
      local solved, speedup = found(drawn)
      rows[step + 1] = { step, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.no_copies,
        s.per_code, s.distinct, #tasks * p.k * (step + 1), solved, speedup }
      for _, k in ipairs(vt.powers(2, p.k)) do
        pass:row(step, k, vt.stats.pass_at_k(groups, k).value, vt.stats.pass_at_k(groups, k, { sure = true }).value)
      end
      run:statistics("step " .. step, groups)
      run:log("step", { step = step, sample_fast_1 = s.sample_fast_1, sample_fast_1_sure = s.sample_fast_1_sure,
        sample_correct = s.sample_correct, distinct = s.distinct, solved = solved, speedup = speedup })
      if stop:offer(s[p.by], steps[step + 1]) == "stop" then break end
    end

    local best = stop:best()
    for i, row in ipairs(rows) do
      row[13] = i == best.step + 1 and "*" or ""
      trajectory:row(table.unpack(row, 1, 13))
    end
    run:plot("trajectory", { kind = "line", data = trajectory, x = "step",
      y = { "sample_fast_1_sure", "sample_fast_1", "sample_correct" }, band = { "lo", "hi" }, star = "best",
      y_label = "share of samples; band: 95 % interval of sample_fast_1_sure",
      title = "Adaptation trajectory (star: chosen on these samples)" })
    choices(run, steps, best)

    local per_task = run:table("tasks", { "task", "name", "correct", "fast_1_sure", "fast_1", "seen" })
    for i, row in ipairs(vt.stats.by_task(best.groups)) do
      per_task:row(row.task, row.name, row.correct, row.fast_1_sure, row.fast_1, best.groups[i].seen or "")
    end

    local fresh
    if p.redraw then
      run:stage(("step %d again"):format(best.step))
      local again = vt.draw(best.weights, tasks, p, { draw = "fresh", place = best.step })
      fresh = vt.scores(again)
      run:statistics("fresh draw of step " .. best.step, again)
      local gains = { {}, {} }
      for i, groups in ipairs { again, steps[1].groups } do
        for j, row in ipairs(vt.stats.by_task(groups)) do gains[i][j] = row.fast_1_sure end
      end
      run:statistics("fresh draw against step 0", { sample_fast_1_sure = vt.stats.paired(gains[1], gains[2]) })
      local t = run:table("selected", { "draw", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1" })
      for _, row in ipairs { { "that chose the step", best.scores }, { "fresh", fresh } } do
        local s = row[2]
        t:row(row[1], s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1)
      end
    end
    run:kernels(drawn, { steps = true }) -- the best kernel of a task may come from any step
    run:save("selected", best.weights)
    local first = steps[1].scores
    return { step = best.step, draw = best.draw, weights = best.weights.id, selected = best.scores[p.by], first = first[p.by],
      fresh = fresh and fresh[p.by], fresh_gain = fresh and fresh[p.by] - first[p.by],
      sample_fast_1 = best.scores.sample_fast_1, first_sample_fast_1 = first.sample_fast_1,
      fast_1 = best.scores.sample_fast_1, first_fast_1 = first.sample_fast_1 } -- the papers' names of the same
  end,
}
