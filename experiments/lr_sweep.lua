-- SPDX-License-Identifier: Apache-2.0
--- Learning rates: boa.lua at each rate and seed; what is gained, at which step, and how far the weights went for it.
local vt = require "vegttt"

-- KL from the start weights of the samples that a cell drew at its chosen step.
local function distance(cell, start)
  local drawn = vt.filter(vt.rollouts(cell.dir), function(g) return g.step == cell.step end)
  return vt.kl(start, drawn)
end

-- peak: the best step lies inside; rising: it is the last; flat: the start is best.
local function pattern(step, n_steps) return step == 0 and "flat" or step == n_steps and "rising" or "peak" end

return vt.experiment {
  name = "lr_sweep",
  doc = "Best-of-Adaptation over learning rates and seeds, with the distance from the start beside the gain.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 3, "gradient steps (the papers: 5)" },
    lr = { "3e-7,1e-6,1e-5,1e-4,1e-3", "learning rates: the papers' three, and two decades above", list = true,
      type = "number" },
    seeds = { "42", "run seeds; the first step is shared by all rates of a seed", list = true, type = "integer" },
  },

  plan = function(p)
    local tasks, n_cells = vt.tasks(p), #p.lr * #p.seeds
    local n = #tasks * p.k * (1 + p.steps * #p.lr) * #p.seeds
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps * n_cells }
  end,

  main = function(run, p)
    local fixed = {}
    for name in pairs(vt.load("experiments/boa.lua").params) do
      if name ~= "lr" and name ~= "seed" then fixed[name] = rawget(p, name) end
    end
    local cells = run:sweep(vt.load "experiments/boa.lua", vt.grid { lr = p.lr, seed = p.seeds }, { fixed = fixed })
    local start = vt.policy(p.model):start()

    local each = run:table("cells", { "lr", "seed", "first_fast_1", "fast_1", "best_step", "kl_start", "pattern" })
    local rows = {}
    for i, c in ipairs(vt.filter(cells, function(x) return not x.error end)) do
      rows[i] = { lr = c.lr, gain = c.fast_1 - c.first_fast_1, fast_1 = c.fast_1, step = c.step, kl = distance(c, start) }
      each:row(c.lr, c.seed, c.first_fast_1, c.fast_1, c.step, rows[i].kl, pattern(c.step, p.steps))
    end
    local t = run:table("lr", { "lr", "seeds", "fast_1", "sd", "gain", "best_step", "kl_start" })
    for _, of_lr in ipairs(vt.group_by(rows, "lr")) do
      local fast = vt.stats.summary(of_lr, "fast_1")
      t:row(of_lr.key, #of_lr, fast.mean, fast.sd, vt.stats.summary(of_lr, "gain").mean,
        vt.stats.summary(of_lr, "step").median, vt.stats.summary(of_lr, "kl").mean)
    end
    run:plot("lr", { data = t, x = "lr", y = { "fast_1", "gain" }, logx = 10, title = "Learning rates",
      y_label = "share of samples" })
    run:plot("kl", { data = t, x = "lr", y = "kl_start", logx = 10, title = "Distance from the start",
      y_label = "nats per token" })
    return { cells = #cells, failed = cells.failed }
  end,
}
