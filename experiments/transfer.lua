-- SPDX-License-Identifier: Apache-2.0
--- Transfer: weights that were adapted to some tasks, tried on others that they never met.
local vt = require "vegttt"

-- Tasks of the run that made the weights; what their families are.
local function met_by(weights)
  local tasks, families = {}, {}
  for _, id in ipairs(weights.trained_on.tasks or {}) do tasks[id] = true end
  for _, name in ipairs(weights.trained_on.families or {}) do families[name] = true end
  return function(task) return tasks[task.id] and "task" or families[task.family] and "family" or "" end
end

return vt.experiment {
  name = "transfer",
  doc = "Draw from the start weights and from adapted ones on other tasks, paired by task.",
  params = vt.task_params {
    k = { 8, "samples per task and weights", min = 1, extend = true },
    from = { "", "adapted weights: RUN@SNAPSHOT (latest@step2) or an adapter folder", type = "string" },
    tasks = { "18,28,29,30,32", "problem ids or task files; empty = the whole subset", list = true },
    unseen = { false, "leave out tasks that the adapted weights or their start have met, relatives too" },
  },

  main = function(run, p)
    if p.from == "" then vt.refuse("--from RUN@SNAPSHOT says which adapted weights are tried (latest@step2)") end
    local adapted = vt.weights(p.from, { model = p.model })
    local start, met = vt.policy(p.model):need("score"):start(), met_by(adapted)
    local tasks = vt.filter(vt.tasks(p), function(t) return not p.unseen or met(t) == "" end)
    if #tasks == 0 then vt.refuse("every task was met by the weights; give others with --tasks") end

    run:stage "the start weights"
    local before = vt.draw(start, tasks, p, { draw = "transfer" })
    run:stage "the adapted weights"
    local after = vt.draw(adapted, tasks, p, { draw = "transfer" })

    local t = run:table("tasks", { "task", "name", "met", "correct_start", "correct_adapted", "sure_start",
      "sure_adapted" })
    local a, b = vt.stats.by_task(before), vt.stats.by_task(after)
    local adapted_sure, start_sure = {}, {}
    for i, task in ipairs(tasks) do
      t:row(task.id, task.name, met(task), a[i].correct, b[i].correct, a[i].fast_1_sure, b[i].fast_1_sure)
      adapted_sure[i], start_sure[i] = b[i].fast_1_sure, a[i].fast_1_sure
    end
    local s, w, test = vt.scores(before), vt.scores(after), vt.stats.paired(adapted_sure, start_sure)
    run:statistics("start", before)
    run:statistics("adapted", after)
    run:statistics("adapted against start", { sample_fast_1_sure = test })
    local all = run:table("weights", { "weights", "tasks", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1", "no_copies", "per_code",
      "kl_start" })
    all:row("start", s.n_tasks, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.no_copies, s.per_code, 0)
    all:row("adapted", w.n_tasks, w.sample_correct, w.sample_fast_1_sure, w.lo, w.hi, w.sample_fast_1, w.no_copies, w.per_code, vt.kl(start, after))
    return { start = s.sample_fast_1_sure, adapted = w.sample_fast_1_sure, wins = test.wins, losses = test.losses, p = test.p, p_min = test.p_min }
  end,
}
