-- SPDX-License-Identifier: Apache-2.0
--- Best-of-N: draw K kernels per task, keep the fastest one that holds when it is judged again.
local vt = require "vegttt"

return vt.experiment {
  name = "best_of_n",
  doc = "Sample K kernels per task; report pass@k, best-of-k and the selected speedups.",
  params = vt.task_params { k = { 8, "samples per task", extend = true } },

  plan = function(p)
    local tasks = vt.tasks(p)
    return { tasks = tasks, samples = #tasks * p.k, evaluations = #tasks * p.k }
  end,

  main = function(run, p)
    run:stage(("%d samples per task"):format(p.k))
    local groups = vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)

    local per_task = run:table("tasks", { "task", "name", "n", "correct", "fast_1", "fast_1_sure", "seen" })
    for i, row in ipairs(vt.stats.by_task(groups)) do
      run:log("task", { task = row.task, correct = row.correct, fast_1 = row.fast_1, fast_1_sure = row.fast_1_sure })
      per_task:row(row.task, row.name, row.n, row.correct, row.fast_1, row.fast_1_sure, groups[i].seen or "")
    end
    run:kernels(groups)

    local scaling = run:table("scaling", { "k", "pass", "lo", "hi", "best_of_k" })
    for _, k in ipairs(vt.powers(2, p.k)) do
      local pass = vt.stats.pass_at_k(groups, k, { p = 1 })
      scaling:row(k, pass.value, pass.lo, pass.hi, vt.stats.best_of_k(groups, k))
    end
    run:plot("scaling", { kind = "line", data = scaling, x = "k", y = "pass", band = { "lo", "hi" }, logx = 2 })

    local summary = {}
    for name, r in pairs(vt.stats.metrics(groups)) do summary[name] = r.value end
    return summary
  end,
}
