-- SPDX-License-Identifier: Apache-2.0
--- Ablations: boa.lua with one thing changed at a time; and K against steps at a constant number of rollouts.
local vt = require "vegttt"

-- What is varied by a parameter of boa.lua: its name, and the values where --values gives none.
local by_value = {
  temperature = { "temperature", { 0.25, 0.6, 1.0 } },
  start = { "model", { "default", "smollm2-135m" } },
  system = { "system", { "", "You are an expert in performance engineering.", "Answer with code only." } },
  reasoning = { "reasoning", { "low", "medium", "high" } },
  reward = { "reward", { "default", "raw", "sparse" } },
  entropy = { "entropy", { 0.0, 0.01, 0.1 } },
}

-- Refuses what was given and --which would not read.
local function refuse_unread(p)
  local varied = p.which == "grid" and { "k", "steps" } or { by_value[p.which] and by_value[p.which][1] or p.which }
  for _, name in ipairs(varied) do
    if vt.is_given(p, name) then vt.refuse("--%s does not go with --which %s, which varies it", name, p.which) end
  end
  if p.which == "grid" and #p.values > 0 then vt.refuse "--values does not go with --which grid; --scale says how many rollouts it has" end
  if vt.is_given(p, "scale") and (by_value[p.which] or #p.values > 0) then
    vt.refuse("--scale does not go with %s: it scales this file's values of steps, k and grid", #p.values > 0 and "--values" or "--which " .. p.which)
  end
end

-- What an ablation varies: its cells over boa's parameters. Steps, K and the grid are the report's values, scaled.
local function cells_of(p)
  local name, cells = p.which, {}
  refuse_unread(p)
  local function add_scaled(field, values, least)
    for i, v in ipairs(p.values) do cells[i] = { [field] = v } end
    for i, v in ipairs(#p.values > 0 and {} or values) do cells[i] = { [field] = math.max(least, math.floor(v * p.scale + 0.5)) } end
  end
  if name == "steps" then
    add_scaled("steps", { 5, 15, 30 }, 1)
  elseif name == "k" then
    add_scaled("k", { 16, 64, 128 }, 2)
  elseif name == "grid" then -- k * (steps + 1) stays the same
    local total = math.max(4, math.floor(96 * p.scale + 0.5))
    for _, steps in ipairs { 0, 1, 2, 5 } do
      local k = total // (steps + 1)
      if k >= 2 then cells[#cells + 1] = { steps = steps, k = k } end
    end
  else
    local of = by_value[name]
    for i, v in ipairs(#p.values > 0 and p.values or of[2]) do cells[i] = { [of[1]] = v } end
  end
  return cells
end

-- Tasks by what the first step solves of them: the papers' line is at 30 %.
local function stratum(share) return share == 0 and "none" or share < 0.3 and "below 30 %" or "30 % and more" end

-- The rows of a cell: every step's score, and each task's first and best share.
local function read_cell(dir)
  local groups, steps, per_task = vt.rollouts(dir), {}, {}
  for i, drawn in ipairs(vt.sort_by(vt.group_by(groups, "place"), "key")) do
    steps[i] = { step = drawn.key, scores = vt.scores(drawn), groups = drawn }
    for j, row in ipairs(vt.stats.by_task(drawn)) do
      per_task[j] = per_task[j] or { first = row.fast_1_sure }
      per_task[j][i] = row.fast_1_sure
    end
  end
  return groups, steps, per_task
end

return vt.experiment {
  name = "ablations",
  doc = "Best-of-Adaptation with other steps (A1), K (A2), starts (A3), temperatures (A4), prompts, rewards; or K against steps.",
  params = vt.adapt_params {
    k = { 6, "rollouts per task and step, where nothing else is said", min = 2 },
    steps = { 1, "gradient steps, where nothing else is said" },
    tasks = { "4,14,28", "problem ids or task files; empty = the whole subset", list = true },
    which = { "temperature", "what is varied: steps = A1, k = A2, start = A3 (another model), temperature = A4",
      choices = { "steps", "k", "start", "temperature", "grid", "system", "reasoning", "reward", "entropy" } },
    values = { "", "its values; empty = those of this file", list = true },
    scale = { 0.2, "factor of the report's steps 5, 15, 30, K 16, 64, 128 and of the grid's 96 rollouts", above = 0 },
    seeds = { "42", "run seeds", list = true, type = "integer" },
  },

  plan = function(p)
    local tasks, n, updates = vt.tasks(p), 0, 0
    for _, c in ipairs(cells_of(p)) do
      n = n + #tasks * (c.k or p.k) * ((c.steps or p.steps) + 1) * #p.seeds
      updates = updates + (c.steps or p.steps) * #p.seeds
    end
    return { tasks = tasks, samples = n, evaluations = n, updates = updates }
  end,

  main = function(run, p)
    local boa, fixed, grid, cells = vt.load "experiments/boa.lua", { redraw = false }, {}, cells_of(p)
    for name in pairs(boa.params) do
      if name ~= "seed" and name ~= "redraw" and cells[1][name] == nil then fixed[name] = rawget(p, name) end
    end
    for _, cell in ipairs(cells) do
      for _, seed in ipairs(p.seeds) do
        local c = { seed = seed }
        for k, v in pairs(cell) do c[k] = v end
        grid[#grid + 1] = c
      end
    end
    for _, c in ipairs(grid) do vt.policy(c.model or p.model):need(p.null ~= "frozen" and "update" or nil) end -- of every cell, before one runs
    local done = run:sweep(boa, grid, { fixed = fixed })

    local varied = p.which == "grid" and "steps" or by_value[p.which] and by_value[p.which][1] or p.which
    local t = run:table("cells", { "value", "k", "steps", "seed", "rollouts", "first_fast_1_sure", "best_fast_1_sure", "last_fast_1_sure",
      "best_no_copies", "best_per_code", "best_step", "task_success", "task_success_sure" })
    local strata, peaks = run:table("strata", { "value", "seed", "solved_at_first", "tasks", "first", "best" }), {}
    for _, c in ipairs(done) do
      if not c.error then
        local groups, steps, per_task = read_cell(c.dir)
        local best, value = vt.max_by(steps, function(s) return s.scores.sample_fast_1_sure end), tostring(c.params[varied])
        local success, sure = vt.stats.task_success(groups, 1), vt.stats.task_success(groups, 1, { sure = true })
        t:row(value, c.params.k, c.params.steps, c.params.seed, #vt.flatten(groups), steps[1].scores.sample_fast_1_sure,
          best.scores.sample_fast_1_sure, steps[#steps].scores.sample_fast_1_sure, best.scores.no_copies, best.scores.per_code, best.step,
          success.value, sure.value)
        run:statistics(("%s = %s, seed %d, step %d"):format(varied, value, c.params.seed, best.step), best.groups)
        for _, set in ipairs(vt.group_by(per_task, function(x) return stratum(x.first) end)) do
          local first, top = {}, {}
          for i, x in ipairs(set) do first[i], top[i] = x.first, math.max(table.unpack(x)) end
          strata:row(value, c.params.seed, set.key, #set, vt.stats.mean(first), vt.stats.mean(top))
        end
        peaks[#peaks + 1] = { value = value, step = best.step, gain = best.scores.sample_fast_1_sure - steps[1].scores.sample_fast_1_sure }
      end
    end
    local peak = run:table("peaks", { "value", "cells", "peak_step", "gain" }) -- does feedback that says less move the peak up?
    for _, same in ipairs(vt.group_by(peaks, "value")) do
      peak:row(same.key, #same, vt.stats.summary(same, "step").median, vt.stats.summary(same, "gain").mean)
    end
    run:plot("cells", { kind = by_value[p.which] and "bar" or "line", data = t, x = p.which == "k" and "k" or by_value[p.which] and "value" or "steps",
      y = { "first_fast_1_sure", "best_fast_1_sure", "task_success_sure" }, title = "Ablation: " .. p.which, y_label = "share" })
    return { cells = #done, failed = done.failed }
  end,
}
