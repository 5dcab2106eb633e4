-- SPDX-License-Identifier: Apache-2.0
--- Learning rates: boa.lua at each rate and seed; what is gained, at which step, and how far the weights went for it.
local vt = require "vegttt"

-- Every step of a cell: its scores and the KL of its samples from the start weights.
local function trajectory(cell, start)
  local steps = {}
  for i, drawn in ipairs(vt.group_by(vt.rollouts(cell.dir), "place")) do
    steps[i] = { step = drawn.key, scores = vt.scores(drawn), groups = drawn, kl = vt.kl(start, drawn) }
  end
  return vt.sort_by(steps, "step")
end

-- flat: no step beats the start; rising: the last is best; peak: one in between.
local function pattern(best, n_steps) return best == 0 and "flat" or best == n_steps and "rising" or "peak" end

return vt.experiment {
  name = "lr_sweep",
  doc = "Best-of-Adaptation over learning rates and seeds, with the distance from the start beside the gain.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 2, "gradient steps (the papers: 5)" },
    tasks = { "4,14,28", "problem ids or task files; empty = the whole subset", list = true },
    lr = { "3e-7,1e-6,1e-5,1e-4,1e-3", "learning rates: the papers' three, and two decades above", list = true,
      type = "number" },
    seeds = { "42", "run seeds; the first step is shared by all rates of a seed", list = true, type = "integer" },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (1 + p.steps * #p.lr) * #p.seeds
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps * #p.lr * #p.seeds }
  end,

  main = function(run, p)
    local boa, fixed = vt.load "experiments/boa.lua", { redraw = false }
    for name in pairs(boa.params) do
      if name ~= "lr" and name ~= "seed" and name ~= "redraw" then fixed[name] = rawget(p, name) end
    end
    local start = vt.policy(p.model):need("update", "score"):start()
    local cells = run:sweep(boa, vt.grid { lr = p.lr, seed = p.seeds }, { fixed = fixed })

    local t = run:table("steps", { "lr", "seed", "step", "sample_correct", "sample_fast_1_sure", "sample_fast_1", "no_copies", "per_code",
      "distinct", "kl_start", "best" })
    local rows = {}
    for _, c in ipairs(cells) do
      local steps = c.error and {} or trajectory(c, start)
      local best = #steps > 0 and vt.max_by(steps, function(s) return s.scores.sample_fast_1_sure end)
      for _, s in ipairs(steps) do
        t:row(c.lr, c.seed, s.step, s.scores.sample_correct, s.scores.sample_fast_1_sure, s.scores.sample_fast_1, s.scores.no_copies,
          s.scores.per_code, s.scores.distinct, s.kl,
          s == best and "*" or "")
      end
      if best then
        run:statistics(("lr %g, seed %d, best step %d"):format(c.lr, c.seed, best.step), best.groups)
        local first, last = steps[1].scores.sample_fast_1_sure, steps[#steps]
        rows[#rows + 1] = { lr = c.lr, best_step = best.step, best = best.scores.sample_fast_1_sure, first = first,
          last = last.scores.sample_fast_1_sure, gain = last.scores.sample_fast_1_sure - first, kl = last.kl,
          pattern = pattern(best.step, last.step) }
      end
    end

    local of_lr = run:table("lr", { "lr", "seeds", "first", "best", "best_step", "last", "sd_last", "gain_last",
      "kl_last", "pattern" })
    for _, same in ipairs(vt.group_by(rows, "lr")) do
      local function mean(name) return vt.stats.summary(same, name).mean end
      of_lr:row(same.key, #same, mean "first", mean "best", vt.stats.summary(same, "best_step").median, mean "last",
        vt.stats.summary(same, "last").sd, mean "gain", mean "kl", same[1].pattern)
    end
    run:plot("steps", { data = t, x = "step", y = "sample_fast_1_sure", by = "lr", star = "best", title = "Learning rates",
      y_label = "share of samples" })
    run:plot("distance", { data = of_lr, x = "lr", y = "kl_last", logx = 10, title = "Distance from the start",
      y_label = "nats per token" })
    return { cells = #cells, failed = cells.failed }
  end,
}
