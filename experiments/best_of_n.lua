-- SPDX-License-Identifier: Apache-2.0
--- Best-of-N: draw K kernels per task, keep the fastest one that holds when it is judged again.
local vt = require "vegttt"

local function tasks_of(p)
  return vt.tasks { split = p.split, subset = p.subset, ids = p.tasks }
end

return vt.experiment {
  name = "best_of_n",
  doc = "Sample K kernels per task; report pass@k, best-of-k and the selected speedups.",
  params = vt.params {
    split = { "splits/l1_seed42.json", "problem split; empty = every task there is" },
    subset = { "eval", "which half of the split", choices = { "train", "eval" } },
    tasks = { "4,5,12,14,15", "problem ids; empty = the whole subset", list = true },
    k = { 8, "samples per task", min = 1, extend = true },
    eval = { "fast", "timing protocol", choices = { "fast", "full" } },
  },

  plan = function(p)
    local tasks = tasks_of(p)
    return { tasks = tasks, samples = #tasks * p.k, evaluations = #tasks * p.k }
  end,

  main = function(run, p)
    local weights = vt.policy(p.model):start()
    run:stage(("%d samples per task"):format(p.k))

    -- One light task per problem: sampling one overlaps the evaluation of another; results come back in task order.
    local groups = vt.map(tasks_of(p), function(task)
      local group = weights:sample(task:prompt(), {
        n = p.k, temperature = p.temperature, max_tokens = p.max_tokens,
        top_p = p.top_p, top_k = p.top_k, min_p = p.min_p, stop = p.stop,
      })
      return vt.eval.all(group, { protocol = p.eval })
    end)

    local per_task = run:table("tasks", { "task", "name", "n", "correct", "fast_1", "fast_1_sure", "seen" })
    for i, row in ipairs(vt.stats.by_task(groups)) do
      run:log("task", { task = row.task, correct = row.correct, fast_1 = row.fast_1, fast_1_sure = row.fast_1_sure })
      per_task:row(row.task, row.name, row.n, row.correct, row.fast_1, row.fast_1_sure, groups[i].seen or "")
    end

    run:stage("judging the best again")
    local kernels = run:table("kernels", { "task", "name", "speedup", "lo", "hi", "first", "tried" })
    for _, b in ipairs(vt.eval.best(groups)) do
      local v, first = b.verdict or {}, b.first or {}
      kernels:row(b.task.id, b.task.name, v.speedup, v.speedup_lo, v.speedup_hi, first.speedup, b.n_tried)
    end

    local scaling = run:table("scaling", { "k", "pass", "lo", "hi", "best_of_k" })
    for _, k in ipairs(vt.powers(2, p.k)) do
      local pass = vt.stats.pass_at_k(groups, k, { p = 1 })
      scaling:row(k, pass.value, pass.lo, pass.hi, vt.stats.best_of_k(groups, k))
    end
    run:plot("scaling", { kind = "line", data = scaling, x = "k", y = "pass", band = { "lo", "hi" }, logx = 2 })

    return {
      correct = vt.stats.rate(groups, "correct").value, fast_1 = vt.stats.fast(groups, 1).value,
      fast_1_sure = vt.stats.fast_sure(groups, 1).value, success = vt.stats.task_success(groups, 1).value,
    }
  end,
}
