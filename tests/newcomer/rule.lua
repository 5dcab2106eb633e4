-- SPDX-License-Identifier: Apache-2.0
--
-- A selection rule of one's own, beside those that come with vegttt: of the correct samples the two shortest are timed.
local vt = require "vegttt"

local rule = { name = "two_shortest", pick = function(candidates)
  return vt.max_by(vt.lowest(candidates, "n_tokens", 2), function(c) return c:measure() end)
end }

return vt.experiment {
  name = "rule", doc = "Which sample to keep: a rule of one's own, the first one, and the best there is.",
  params = vt.task_params(),
  main = function(run, p)
    local groups = vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)
    local t = run:table("rules", { "rule", "speedup", "fast_1", "measures" })
    local result = {}
    for _, r in ipairs { rule, vt.select.rules.first, vt.select.rules.oracle } do
      local picks = vt.select.apply(r, groups)
      t:row(r.name, picks:mean "speedup", picks:fast(1).value, picks.cost.measures)
      result[r.name] = picks:mean "speedup"
    end
    return result
  end,
}
