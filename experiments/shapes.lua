-- SPDX-License-Identifier: Apache-2.0
--- Shapes: are kernels that were selected at one size faster at sizes that nobody selected them at?
local vt = require "vegttt"

-- The task with every size times the factor, and one more, so that no power of two stays one. Its id is its own: what is
-- judged there is no verdict of the task.
local function resized(task, factor, number)
  local t = vt.json.decode(task.json)
  for name, n in pairs(t.sizes.cpu) do t.sizes.cpu[name] = math.max(2, math.floor(n * factor)) + 1 end
  t.id = task.id * 1000 + number
  return vt.task(t)
end

return vt.experiment {
  name = "shapes",
  doc = "The best kernel of each task, chosen at the task's size, timed at other sizes.",
  takes = "19 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.gather_params {
    tasks = { "4,28", "problem ids or task files; empty = the whole subset", list = true },
    factors = { "0.3,0.7,1.7", "factors of all sizes of a task", list = true, type = "number" },
  },

  main = function(run, p)
    for _, f in ipairs(p.factors) do
      if not (f > 0 and f <= 16) then vt.refuse("--factors: %g is not above 0 and at most 16", f) end
    end
    local best = run:kernels(vt.gather(p))
    local t = run:table("sizes", { "task", "name", "factor", "correct", "speedup", "lo", "hi", "sure", "chosen_at" })
    local logs, chosen, n, n_sure = {}, {}, 0, 0
    for _, b in ipairs(vt.filter(best, function(x) return x.sample end)) do
      local at_home = b.verdict.speedup -- the second verdict: the one that did not choose it
      chosen[#chosen + 1] = math.log(at_home)
      for i, factor in ipairs(p.factors) do
        run:stage(("task %d at %g of its size"):format(b.task.id, factor))
        local v = vt.eval.one(resized(b.task, factor, i), b.sample.code, { protocol = "full" })
        local sure = vt.stats.is_sure(v)
        t:row(b.task.id, b.task.name, factor, v.correct and "yes" or "no", v.speedup, v.speedup_lo, v.speedup_hi, sure and "yes" or "no", at_home)
        logs[i] = logs[i] or {}
        logs[i][#chosen] = v.correct and math.log(v.speedup) or 0
        n, n_sure = n + 1, n_sure + (sure and 1 or 0)
      end
    end
    for i, values in ipairs(logs) do
      run:statistics(("%g of the size"):format(p.factors[i]), { log_speedup = vt.stats.mean_ci(values),
        ["log_speedup against the size it was chosen at"] = vt.stats.paired(values, chosen) })
    end
    if n > 0 then
      run:plot("sizes", { kind = "scatter", data = t, x = "factor", y = "speedup", by = "name", ref = 1, title = "Other sizes",
        x_label = "factor of all sizes" })
    end
    return { kernels = #chosen, sure_elsewhere = n > 0 and n_sure / n or nil, speedup_chosen_at = #chosen > 0 and math.exp(vt.stats.mean(chosen)) or nil }
  end,
}
