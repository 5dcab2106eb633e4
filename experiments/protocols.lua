-- SPDX-License-Identifier: Apache-2.0
--- Protocols: a search times kernels with the fast protocol and reports with the full one. Do the two rank the same codes in
--- the same order, and do they agree on which are faster for sure?
local vt = require "vegttt"

return vt.experiment {
  name = "protocols",
  doc = "Kendall's tau of the fast and the full protocol over the different correct codes of each task.",
  takes = "12 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.gather_params {
    tasks = { "4,28", "problem ids or task files; empty = the whole subset", list = true },
    most = { 8, "codes per task that are timed again, a seeded choice", min = 2 },
  },

  main = function(run, p)
    local groups = vt.gather(p)
    local t = run:table("tasks", { "task", "name", "codes", "tau", "p", "p_min", "same_best", "sure_fast", "sure_full", "sure_both" })
    local of_task, n, taus, all_fast, all_full, same = vt.group_by(groups, function(g) return g.task.id end), { fast = 0, full = 0, both = 0 },
      {}, {}, {}, {}
    for _, set in ipairs(of_task) do
      local task = set[1].task
      run:stage(("task %d by the full protocol"):format(task.id))
      local correct = vt.filter(vt.codes { vt.flatten(set) }[1], function(s) return s.result.correct and s.result.protocol == "fast" end)
      local codes = run:rng(("codes/%d"):format(task.id)):shuffle(correct)
      codes = table.move(codes, 1, math.min(#codes, p.most), 1, {})
      local full = vt.map(codes, function(s) return vt.eval.one(task, s.code, { protocol = "full" }) end)
      local x, y, sure = {}, {}, { fast = 0, full = 0, both = 0 }
      for i, s in ipairs(codes) do
        x[i], y[i] = s.result.speedup_measured, full[i].correct and full[i].speedup_measured or 0
        all_fast[#all_fast + 1], all_full[#all_full + 1] = x[i], y[i]
        local a, b = vt.stats.is_sure(s.result), vt.stats.is_sure(full[i])
        for name, is_so in pairs { fast = a, full = b, both = a and b } do sure[name] = sure[name] + (is_so and 1 or 0) end
      end
      for name, count in pairs(sure) do n[name] = n[name] + count end
      local tau, is_same = #x >= 2 and vt.stats.kendall(x, y) or nil, nil
      if tau then
        local _, best_fast = vt.max_by(x, function(v) return v end)
        local _, best_full = vt.max_by(y, function(v) return v end)
        is_same = y[select(2, vt.find(x, function(v) return v == best_fast end))] == best_full
        same[#same + 1] = is_same and 1 or 0
        if tau.value == tau.value then taus[#taus + 1] = tau.value end
        run:statistics(("task %d"):format(task.id), { tau = tau })
      end
      t:row(task.id, task.name, #x, tau and tau.value, tau and tau.p, tau and tau.p_min, tau and (is_same and "yes" or "no"), sure.fast, sure.full,
        sure.both)
    end
    if #all_fast < 2 then vt.refuse("fewer than two correct codes were timed by the fast protocol; draw more with --k, or name runs with --from") end
    local pooled = vt.stats.kendall(all_fast, all_full)
    run:statistics("all codes", { tau = pooled })
    if #taus > 0 then run:statistics("mean over tasks", { tau = vt.stats.mean_ci(taus), same_best = vt.stats.mean_ci(same) }) end
    return { codes = #all_fast, tau = pooled.value, tau_within = #taus > 0 and vt.stats.mean(taus) or nil, sure_fast = n.fast, sure_full = n.full,
      sure_both = n.both }
  end,
}
