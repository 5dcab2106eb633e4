-- SPDX-License-Identifier: Apache-2.0
--- RLVR, the outer loop: GRPO on the training tasks, evaluated every few steps, with guardrails that stop a collapse.
local vt = require "vegttt"

-- The tasks of update i: a seeded shuffle of the training half per epoch, cut into batches.
local function batch_of(run, tasks, size, i)
  local per_epoch = math.max(1, #tasks // size)
  local epoch, at = (i - 1) // per_epoch, (i - 1) % per_epoch
  local order = run:rng("epoch" .. epoch):shuffle(tasks)
  return table.move(order, at * size + 1, math.min((at + 1) * size, #order), 1, {})
end

-- The tasks that are only evaluated on: of the other half, and none that is trained on.
local function held_out(train, p)
  local tasks = vt.tasks { split = p.split, subset = p.subset == "train" and "eval" or "train", ids = p.eval_tasks }
  for _, t in ipairs(tasks) do
    if vt.find(train, function(x) return x.id == t.id end) then
      vt.refuse("task %d is in --tasks and in --eval_tasks: it would be trained on", t.id)
    end
  end
  return tasks
end

-- Why training must stop, or nil.
local function broken(s, kl, p)
  if kl > p.max_kl then return ("KL from the start %.3g is above --max_kl %.3g"):format(kl, p.max_kl) end
  if s.sample_correct < p.min_correct then return ("correctness %.2f is below --min_correct %.2f"):format(s.sample_correct, p.min_correct) end
  if s.distinct < p.min_distinct then return ("%.2f of samples have a code of their own, below --min_distinct %.2f"):format(s.distinct, p.min_distinct) end
end

return vt.experiment {
  name = "rlvr",
  doc = "Train on the training half with GRPO; the checkpoint is a start for every other experiment.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task (the papers: group 8)", min = 2 },
    steps = { 4, "gradient steps (the papers: 40)", extend = true },
    advantage = { "group_z" },
    batch = { 4, "training tasks per step (the papers: 8)", min = 1 },
    tasks = { "", "training task ids; empty = the whole half", list = true },
    subset = { "train", "half to train on", choices = { "train", "eval" } },
    eval_tasks = { "4,5,12,14,15", "tasks of the other half to evaluate on, never trained on", list = true },
    eval_every = { 2, "steps between evaluations (the papers: 10)", min = 1 },
    max_kl = { 0.5, "guardrail: nats per token from the start weights", above = 0 },
    min_correct = { 0.5, "guardrail: share of correct samples in evaluation", min = 0, max = 1 },
    min_distinct = { 0.05, "guardrail: different codes over samples in evaluation", min = 0, max = 1 },
  },

  plan = function(p)
    local tasks, n_evals = vt.tasks(p), 1 + (p.steps + p.eval_every - 1) // p.eval_every
    local n = (math.min(p.batch, #tasks) * p.steps + #held_out(tasks, p) * n_evals) * p.k
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local train, policy = vt.tasks(p), vt.policy(p.model):need("score", p.null ~= "frozen" and "update" or "score")
    local others = held_out(train, p)
    local learner = vt.learner(run, p)
    local t = run:table("progress", { "step", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1", "no_copies", "per_code",
      "distinct", "kl_start" })
    local best = vt.early_stop { patience = p.patience }
    local stopped

    local function evaluate(step)
      run:stage(("evaluating step %d"):format(step))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.draw(weights, others, p, { draw = "evaluation" .. learner:draw(step), place = step })
      local s, kl = vt.scores(groups), vt.kl(policy:start(), groups)
      t:row(step, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.no_copies, s.per_code, s.distinct, kl)
      run:statistics("step " .. step, groups)
      run:log("evaluation", { step = step, sample_correct = s.sample_correct, sample_fast_1_sure = s.sample_fast_1_sure, kl_start = kl })
      stopped = broken(s, kl, p)
      if not stopped and best:offer(s.sample_fast_1_sure, { step = step, draw = groups[1].draw, weights = weights }) == "stop" then
        stopped = ("no better evaluation for %d in a row"):format(p.patience)
      end
      return stopped
    end

    evaluate(0)
    for step = 1, stopped and 0 or p.steps do
      run:stage(("step %d of %d"):format(step, p.steps))
      local groups = vt.draw(policy:snapshot("now" .. step - 1), batch_of(run, train, p.batch, step), p,
        { draw = learner:draw(step), place = step - 1 })
      learner:step(policy, groups, { correct = vt.scores(groups).sample_correct })
      if (step % p.eval_every == 0 or step == p.steps) and evaluate(step) then break end
    end

    run:plot("progress", { data = t, x = "step", y = { "sample_correct", "sample_fast_1_sure" }, title = "Outer loop",
      y_label = "share of samples" })
    local chosen = best:best()
    if chosen then run:save("selected", chosen.weights) end
    return { step = chosen and chosen.step, draw = chosen and chosen.draw, fast_1_sure = chosen and chosen.score, stopped = stopped or "" }
  end,
}
