-- SPDX-License-Identifier: Apache-2.0
--
-- How surprising the recorded samples of one run are under the snapshots of another, and whether that goes with speed.
local vt = require "vegttt"

return vt.experiment {
  name = "nll_probe", doc = "Negative log-likelihood against speedup, by checkpoint.",
  params = {
    rollouts = { "runs/best_of_n/*", "glob of the samples" },
    checkpoints = { "latest", "run of boa" },
    steps = { 1, "last step" },
    model = { "default", "the model that both ran", type = "model" },
  },
  main = function(run, p)
    local groups = vt.rollouts(p.rollouts)
    local t = run:table("probe", { "step", "mean_nll", "rho", "lo", "hi", "n" })
    for step = 0, p.steps do
      local w = vt.weights(p.checkpoints .. "@step" .. step, { model = p.model })
      local nll, speedup = {}, {}
      for _, g in ipairs(groups) do
        for _, s in ipairs(g) do
          if s.result.correct then
            nll[#nll + 1] = -w:score(g.prompt, s.tokens):sum()
            speedup[#speedup + 1] = s.result.speedup
          end
        end
      end
      local r = vt.stats.spearman(nll, speedup)
      t:row(step, vt.stats.mean(nll), r.value, r.lo, r.hi, r.n)
    end
    run:plot("probe", { data = t, x = "step", y = "rho", band = { "lo", "hi" } })
    return {}
  end,
}
