-- SPDX-License-Identifier: Apache-2.0
--- Best-of-N: draw K kernels per task, keep the fastest one that holds when it is judged again.
local vt = require "vegttt"

return vt.experiment {
  name = "best_of_n",
  doc = "Sample K kernels per task; report pass@k, best-of-k and the selected speedups.",
  takes = "21 s of processor time on a Sapphire Rapids of two cores that had other work, too",
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

    local scaling = run:table("scaling", { "k", "pass", "lo", "hi", "pass_sure", "pass_no_copies", "pass_per_code", "best_of_k",
      "best_of_k_no_copies" })
    local n_codes = #vt.min_by(vt.codes(groups), function(g) return #g end)
    for _, k in ipairs(vt.powers(2, p.k)) do
      local pass, sure = vt.stats.pass_at_k(groups, k, { p = 1 }), vt.stats.pass_at_k(groups, k, { sure = true })
      local others = { pass_no_copies = vt.stats.pass_at_k(groups, k, { copies = false }), best_of_k = vt.stats.best_of_k(groups, k),
        best_of_k_no_copies = vt.stats.best_of_k(groups, k, { copies = false }),
        pass_per_code = k <= n_codes and vt.stats.pass_at_k(groups, k, { per = "code" }) or nil }
      scaling:row(k, pass.value, pass.lo, pass.hi, sure.value, others.pass_no_copies.value, others.pass_per_code and
        others.pass_per_code.value, others.best_of_k.value, others.best_of_k_no_copies.value)
      others.pass, others.pass_sure = pass, sure
      run:statistics(("k = %d"):format(k), others)
    end
    run:plot("scaling", { kind = "line", data = scaling, x = "k", y = { "pass", "pass_sure" }, band = { "lo", "hi" }, logx = 2 })

    local summary, metrics = {}, vt.stats.metrics(groups)
    run:statistics("samples", groups)
    run:statistics("tasks", metrics)
    for name, r in pairs(metrics) do summary[name] = r.value end
    return summary
  end,
}
