-- SPDX-License-Identifier: Apache-2.0
--- NLL probe: the same samples under every checkpoint. Does likelihood come to rank speed, or only correctness and copies?
local vt = require "vegttt"

-- Views of the samples. The papers pool failures as speedup 0, which makes NLL a detector of failures.
local views = {
  { "all", function() return true end },
  { "correct", function(s) return s.result.correct end },
  { "no_copies", function(s) return s.result.correct and not s.result.is_copy end },
}

local function speed(s) return s.result.correct and s.result.speedup or 0 end

local function quartile(samples, key)
  return vt.lowest(samples, key, math.max(1, #samples // 4))
end

-- rho of NLL and speedup over the samples; within: the mean over tasks of the task's own rho.
local function correlations(samples, nll)
  local function rho(list)
    local x, y = {}, {}
    for i, s in ipairs(list) do x[i], y[i] = nll[s], speed(s) end
    return vt.stats.spearman(x, y)
  end
  local within = {}
  for _, g in ipairs(vt.group_by(samples, function(s) return s.task.id end)) do
    local r = #g >= 3 and rho(g).value or 0 / 0
    if r == r then within[#within + 1] = r end
  end
  return #samples >= 3 and rho(samples) or nil, #within > 0 and vt.stats.mean(within) or nil, #within, within
end

return vt.experiment {
  name = "nll_probe",
  doc = "Score fixed samples under every checkpoint of a run: rank correlation of surprisal and speed, step by step.",
  params = {
    from = { "latest", "run whose checkpoints and first samples are used: a folder, or the beginning of its stamp" },
    steps = { "0-3", "steps of that run", type = "string" },
  },

  main = function(run, p)
    local found = vt.runs(p.from == "latest" and "runs/boa/*" or p.from)
    if #found == 0 then vt.refuse("there is no run %s; make one with: vegttt experiments/boa.lua", p.from) end
    local dir = found[#found].dir
    local groups = vt.filter(vt.rollouts(dir), function(g) return g.place == 0 and g.draw ~= "fresh" end)
    local samples = vt.flatten(groups)
    local group_of = {}
    for _, g in ipairs(groups) do
      for _, s in ipairs(g) do group_of[s] = g end
    end

    local t = run:table("rho", { "step", "view", "n", "mean_nll", "rho", "lo", "hi", "p", "within", "tasks",
      "slow_quarter", "likely_quarter" })
    local last, steps, weights_of = nil, vt.integers(p.steps), {}
    for _, step in ipairs(steps) do weights_of[step] = vt.weights(("%s@step%d"):format(dir, step)) end -- all, before one is scored
    for _, step in ipairs(steps) do
      run:stage(("scoring under step %d"):format(step))
      local weights = weights_of[step]
      local nll = {}
      vt.map(samples, function(s) nll[s] = -weights:score(group_of[s].prompt, s.tokens):sum() end)
      for _, view in ipairs(views) do
        local these = vt.filter(samples, view[2])
        local rho, within, n_tasks, each = correlations(these, nll)
        if rho then run:statistics(("step %d, %s"):format(step, view[1]), { rho = rho, ["rho within tasks"] = n_tasks > 0 and vt.stats.mean_ci(each) or nil }) end
        local slow = #these >= 12 and correlations(quartile(these, speed), nll)
        local likely = #these >= 12 and correlations(quartile(these, function(s) return nll[s] end), nll)
        local mean = 0
        for _, s in ipairs(these) do mean = mean + nll[s] / #these end
        t:row(step, view[1], #these, #these > 0 and mean or nil, rho and rho.value, rho and rho.lo, rho and rho.hi,
          rho and rho.p, within, n_tasks, slow and slow.value, likely and likely.value)
        if view[1] == "correct" then last = rho and rho.value end
      end
    end
    run:plot("rho", { data = t, x = "step", y = "rho", by = "view", ref = 0, title = "Does likelihood rank speed?",
      y_label = "Spearman of NLL and speedup (negative: surprising = slower)" })
    return { run = dir, samples = #samples, rho_correct = last }
  end,
}
