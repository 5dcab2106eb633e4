-- SPDX-License-Identifier: Apache-2.0
--- Ablations: boa.lua with one thing changed at a time; and K against steps at a constant number of rollouts.
local vt = require "vegttt"

-- What an ablation varies: its cells over boa's parameters. The report's values, scaled by --scale.
local function cells_of(name, p)
  local function scaled(values, least)
    local out = {}
    for i, v in ipairs(values) do out[i] = math.max(least, math.floor(v * p.scale + 0.5)) end
    return out
  end
  local cells = {}
  if name == "steps" then
    for i, n in ipairs(scaled({ 5, 15, 30 }, 1)) do cells[i] = { steps = n } end
  elseif name == "k" then
    for i, n in ipairs(scaled({ 16, 64, 128 }, 2)) do cells[i] = { k = n } end
  elseif name == "temperature" then
    for i, t in ipairs { 0.25, 0.6, 1.0 } do cells[i] = { temperature = t } end
  elseif name == "grid" then -- k * (steps + 1) stays the same
    local total = math.max(4, math.floor(96 * p.scale + 0.5))
    for _, steps in ipairs { 0, 1, 2, 5 } do
      local k = total // (steps + 1)
      if k >= 2 then cells[#cells + 1] = { steps = steps, k = k } end
    end
  end
  return cells
end

return vt.experiment {
  name = "ablations",
  doc = "Best-of-Adaptation with other steps (A1), K (A2), temperatures (A4), or K against steps at constant rollouts.",
  params = vt.adapt_params {
    k = { 6, "rollouts per task and step, where nothing else is said", min = 2 },
    steps = { 1, "gradient steps, where nothing else is said" },
    tasks = { "4,14,28", "problem ids or task files; empty = the whole subset", list = true },
    which = { "temperature", "what is varied: steps = A1, k = A2, temperature = A4", choices = { "steps", "k", "temperature", "grid" } },
    scale = { 0.2, "factor of the report's steps 5, 15, 30, K 16, 64, 128 and of the grid's 96 rollouts", above = 0 },
    seeds = { "42", "run seeds", list = true, type = "integer" },
  },

  plan = function(p)
    local tasks, n, updates = vt.tasks(p), 0, 0
    for _, c in ipairs(cells_of(p.which, p)) do
      n = n + #tasks * (c.k or p.k) * ((c.steps or p.steps) + 1) * #p.seeds
      updates = updates + (c.steps or p.steps) * #p.seeds
    end
    return { tasks = tasks, samples = n, evaluations = n, updates = updates }
  end,

  main = function(run, p)
    local boa, fixed = vt.load "experiments/boa.lua", { redraw = false }
    for name in pairs(boa.params) do
      if name ~= "seed" and name ~= "redraw" then fixed[name] = rawget(p, name) end
    end
    local grid = {}
    for _, cell in ipairs(cells_of(p.which, p)) do
      for _, seed in ipairs(p.seeds) do
        local c = { seed = seed }
        for k, v in pairs(cell) do c[k] = v end
        grid[#grid + 1] = c
      end
    end
    local cells = run:sweep(boa, grid, { fixed = fixed })
    local t = run:table("cells", { "k", "steps", "temperature", "seed", "rollouts", "first_fast_1_sure", "best_fast_1_sure",
      "last_fast_1_sure", "best_step", "task_success" })
    for _, c in ipairs(cells) do
      if not c.error then
        local groups, scores = vt.rollouts(c.dir), {}
        for i, drawn in ipairs(vt.sort_by(vt.group_by(groups, "step"), "key")) do
          scores[i] = { step = drawn.key, sure = vt.scores(drawn).sample_fast_1_sure }
        end
        local best = vt.max_by(scores, "sure")
        t:row(c.params.k, c.params.steps, c.params.temperature, c.params.seed, #vt.flatten(groups), scores[1].sure,
          best.sure, scores[#scores].sure, best.step, vt.stats.task_success(groups, 1).value)
      end
    end
    local x = p.which == "grid" and "steps" or p.which
    run:plot("cells", { data = t, x = x, y = { "first_fast_1_sure", "best_fast_1_sure", "task_success" },
      title = "Ablation: " .. p.which, y_label = "share" })
    return { cells = #cells, failed = cells.failed }
  end,
}
