-- SPDX-License-Identifier: Apache-2.0
--
-- Adaptation to each task alone.
local vt = require "vegttt"

return vt.experiment {
  name = "isolated", doc = "boa on one task at a time.",
  params = vt.task_params { steps = { 1, "steps" } },
  main = function(run, p)
    local cells = run:sweep(vt.load "experiments/boa.lua", vt.grid { tasks = p.tasks },
      { fixed = { model = p.model, k = p.k, steps = p.steps, temperature = p.temperature } })
    local t = run:table("isolated", { "task", "step", "fast_1" })
    for _, c in ipairs(cells) do t:row(c.tasks, c.step, c.fast_1) end
    return { n = #cells }
  end,
}
