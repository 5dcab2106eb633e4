-- SPDX-License-Identifier: Apache-2.0
--- Isolated adaptation: each task alone, from the start weights, so that no task learns from another.
local vt = require "vegttt"

-- The steps of one task: scores, and the weights that each was drawn from.
local function adapt(run, policy, task, p)
  local learner, stop, steps = vt.learner(run, p), vt.early_stop { patience = p.patience }, {}
  local drawn
  for step = 0, p.steps do
    if step > 0 then learner:step(policy, drawn, { task = task.id }) end
    local weights = policy:snapshot(("task%d_step%d"):format(task.id, step))
    drawn = vt.draw(weights, { task }, p, { draw = learner:draw(step), place = step })
    local s = vt.scores(drawn)
    steps[#steps + 1] = { step = step, groups = drawn, scores = s }
    run:log("step", { task = task.id, step = step, sample_fast_1 = s.sample_fast_1, sample_fast_1_sure = s.sample_fast_1_sure, sample_correct = s.sample_correct })
    if stop:offer(s.sample_fast_1_sure, { step = step, weights = weights }) == "stop" then break end
  end
  local best, again = stop:best(), nil
  if p.redraw then again = vt.draw(best.weights, { task }, p, { draw = "fresh", place = best.step }) end
  return { task = task, steps = steps, best = best.step, again = again }
end

return vt.experiment {
  name = "isolated",
  doc = "Adapt to one task at a time, restarting from the start weights; the chosen step is each task's own.",
  takes = "125 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.adapt_params {
    k = { 8, "rollouts per step (the papers: 32)", min = 2 },
    steps = { 2, "gradient steps per task (the papers: 5)", extend = true },
    redraw = { true, "draw again from each task's chosen step, so that its score is not a maximum" },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + (p.redraw and 2 or 1))
    return { tasks = tasks, samples = n, evaluations = n, updates = #tasks * p.steps }
  end,

  main = function(run, p)
    local policy, done = vt.policy(p.model):need(p.null ~= "frozen" and "update" or nil), {}
    for i, task in ipairs(vt.tasks(p)) do
      run:stage(("task %d"):format(task.id))
      done[i] = adapt(run, policy:branch(policy:start()), task, p)
    end

    local t = run:table("tasks", { "task", "name", "step", "sample_correct", "sample_fast_1_sure", "sample_fast_1", "no_copies", "per_code",
      "distinct", "chosen" })
    for _, d in ipairs(done) do
      for _, s in ipairs(d.steps) do
        t:row(d.task.id, d.task.name, s.step, s.scores.sample_correct, s.scores.sample_fast_1_sure, s.scores.sample_fast_1,
          s.scores.no_copies, s.scores.per_code, s.scores.distinct, s.step == d.best and "*" or "")
      end
    end
    run:plot("tasks", { data = t, x = "step", y = "sample_fast_1_sure", by = "name", star = "chosen",
      title = "Each task adapted alone", y_label = "share of samples" })

    local first, chosen, fresh, all, steps = {}, {}, {}, {}, {}
    for i, d in ipairs(done) do
      local best = vt.find(d.steps, function(s) return s.step == d.best end)
      first[i], chosen[i] = d.steps[1].scores.sample_fast_1_sure, best.scores.sample_fast_1_sure
      fresh[i], steps[tostring(d.task.id)] = d.again and vt.scores(d.again).sample_fast_1_sure, d.best
      for _, s in ipairs(d.steps) do all[#all + 1] = s.groups end
    end
    run:statistics("each task's chosen step against its first", { sample_fast_1_sure = vt.stats.paired(chosen, first) })
    if p.redraw then run:statistics("fresh draws of the chosen steps against the first", { sample_fast_1_sure = vt.stats.paired(fresh, first) }) end
    run:statistics("all samples", vt.flatten(all))
    run:kernels(all, { steps = true })
    return { first_fast_1_sure = vt.stats.mean(first), chosen_fast_1_sure = vt.stats.mean(chosen), steps = steps,
      fresh_fast_1_sure = p.redraw and vt.stats.mean(fresh) or nil }
  end,
}
