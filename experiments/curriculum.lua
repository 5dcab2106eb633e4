-- SPDX-License-Identifier: Apache-2.0
--- Curriculum: task batches one after another, and what each does to those before it and those to come.
local vt = require "vegttt"

-- "4,5;12,14" -> lists of tasks.
local function batches_of(p)
  local out = {}
  for part in p.batches:gmatch "[^;]+" do out[#out + 1] = vt.tasks { split = p.split, subset = p.subset, ids = part } end
  return out
end

return vt.experiment {
  name = "curriculum",
  doc = "Adapt to batches of tasks in sequence; a matrix of every batch after every stage, forward and backward transfer.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step", min = 2 },
    steps = { 1, "gradient steps per batch" },
    batches = { "4,5;14,15;28,30", "batches of tasks, in the order in which they are learnt" },
    tasks = false, max_tasks = false, patience = false,
    order = { "given", "order of the batches", choices = { "given", "reversed", "shuffled" } },
  },

  plan = function(p)
    local batches, tasks = batches_of(p), {}
    for _, b in ipairs(batches) do table.move(b, 1, #b, #tasks + 1, tasks) end
    local n = #tasks * p.k * (#batches + 1) + p.k * #tasks * math.max(0, p.steps - 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps * #batches }
  end,

  main = function(run, p)
    local batches, policy = batches_of(p), vt.policy(p.model):need(p.null ~= "frozen" and "update" or nil)
    if p.order == "shuffled" then batches = run:rng("order"):shuffle(batches) end
    if p.order == "reversed" then
      local reversed = {}
      for i, b in ipairs(batches) do reversed[#batches + 1 - i] = b end
      batches = reversed
    end
    local learner = vt.learner(run, p)

    -- after[i][j]: batch j's share after i batches were learnt; the samples of batch i + 1 there are its first rollouts.
    local t, after, drawn = run:table("matrix", { "learnt", "batch", "tasks", "sample_correct", "sample_fast_1_sure", "sample_fast_1", "no_copies",
      "per_code" }), {}, nil
    for i = 0, #batches do
      if i > 0 then
        for step = 1, p.steps do
          run:stage(("batch %d, update %d"):format(i, step))
          if step > 1 then drawn[i] = vt.draw(policy:snapshot(("batch%d_step%d"):format(i, step - 1)), batches[i], p,
            { draw = learner:draw(("%d/%d"):format(i, step)), place = (i - 1) * p.steps + step - 1 }) end
          learner:step(policy, drawn[i], { batch = i })
        end
      end
      local weights = policy:snapshot("learnt" .. i)
      after[i], drawn = {}, {}
      for j, tasks in ipairs(batches) do
        run:stage(("%d learnt, batch %d"):format(i, j))
        drawn[j] = vt.draw(weights, tasks, p, { draw = learner:draw(("learnt%d"):format(i)), place = i * p.steps })
        local s, ids = vt.scores(drawn[j]), {}
        for n, task in ipairs(tasks) do ids[n] = task.id end
        after[i][j] = s.sample_fast_1_sure
        t:row(i, j, table.concat(ids, " "), s.sample_correct, s.sample_fast_1_sure, s.sample_fast_1, s.no_copies, s.per_code)
        run:statistics(("batch %d after %d were learnt"):format(j, i), drawn[j])
      end
    end
    run:plot("matrix", { data = t, x = "learnt", y = "sample_fast_1_sure", by = "batch", title = "Batches learnt in sequence",
      y_label = "share of samples" })

    -- Forward: a batch just before it is learnt against the start. Backward: at the end against just after it was learnt.
    local n, forward, backward, own = #batches, 0, 0, 0
    for j = 1, n do
      own = own + (after[j][j] - after[j - 1][j]) / n
      if j > 1 then forward = forward + (after[j - 1][j] - after[0][j]) / (n - 1) end
      if j < n then backward = backward + (after[n][j] - after[j][j]) / (n - 1) end
    end
    return { own = own, forward = n > 1 and forward or nil, backward = n > 1 and backward or nil }
  end,
}
