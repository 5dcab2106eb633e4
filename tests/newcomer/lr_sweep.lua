-- SPDX-License-Identifier: Apache-2.0
--
-- boa at several learning rates and seeds.
local vt = require "vegttt"

return vt.experiment {
  name = "lr_sweep", doc = "boa at several learning rates.",
  params = vt.task_params {
    rates = { "1e-3,1e-4", "learning rates" },
    seeds = { "42", "seeds" },
    steps = { 1, "steps" },
  },
  main = function(run, p)
    local grid = vt.grid { lr = vt.numbers(p.rates), seed = vt.integers(p.seeds) }
    local cells = run:sweep(vt.load "experiments/boa.lua", grid, { fixed = { model = p.model, tasks = p.tasks, k = p.k,
      steps = p.steps, temperature = p.temperature } })
    local t = run:table("rates", { "lr", "n", "fast_1", "lo", "hi" })
    for lr, list in cells:group_by "lr" do
      local values = {}
      for i, c in ipairs(list) do values[i] = c.fast_1 end
      local m = vt.stats.mean_ci(values)
      t:row(lr, m.n, m.value, m.lo, m.hi)
    end
    return { n = #cells }
  end,
}
