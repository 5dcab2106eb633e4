-- SPDX-License-Identifier: Apache-2.0
--- NLL probe: the same samples under every checkpoint. Does likelihood come to rank speed, or only correctness and copies?
local vt = require "vegttt"

-- Views of the samples. The papers pool failures as speedup 0, which makes NLL a detector of failures.
local views = {
  { "all", function() return true end },
  { "correct", function(s) return s.result.correct end },
  { "no_copies", function(s) return s.result.correct and not s.result.is_copy end },
  { "distinct", function(s, have)
    local code, is_new = ("%d/%s"):format(s.task.id, vt.code_of(s)), false
    if s.result.correct and not s.result.is_copy then is_new, have[code] = not have[code], true end
    return is_new
  end },
}

local function speed(s) return s.result.correct and s.result.speedup or 0 end

local function quartile(samples, key)
  return vt.lowest(samples, key, math.max(1, #samples // 4))
end

-- rho of NLL and speedup over all samples with its interval over tasks, as the mean of the tasks' own, and as the papers test it:
-- every sample a case of its own.
local function correlations(samples, nll)
  local x, y, task = {}, {}, {}
  for i, s in ipairs(samples) do x[i], y[i], task[i] = nll[s], speed(s), s.task.id end
  if #x < 3 then return {} end
  return { rho = vt.stats.spearman(x, y, { cluster = task }), ["rho within tasks"] = vt.stats.spearman(x, y, { cluster = task, within = true }),
    ["rho, samples as cases"] = vt.stats.spearman(x, y) }
end

return vt.experiment {
  name = "nll_probe",
  doc = "Score fixed samples under every checkpoint of a run: rank correlation of surprisal and speed, step by step.",
  takes = "22 s of processor time for two steps of 40 samples on a Sapphire Rapids of two cores that had other work, too",
  params = {
    from = { "latest", "run whose checkpoints and first samples are used: a folder, or the beginning of its stamp; latest = the newest of boa" },
    steps = { "", "steps of that run (0-3, or 0,5); empty = all that it drew from", type = "string" },
  },

  main = function(run, p)
    local found = vt.runs(p.from == "latest" and "boa/*" or p.from)
    if #found == 0 then vt.refuse("there is no run %s; make one with: vegttt experiments/boa.lua", p.from) end
    local dir = vt.max_by(found, "begun_s").dir
    local drawn = vt.sort_by(vt.group_by(vt.filter(vt.rollouts(dir), function(g) return g.draw ~= "fresh" end), "place"), "key")
    local groups = drawn[1].key == 0 and drawn[1] or vt.refuse("%s drew nothing from its start weights: its samples cannot be compared", dir)
    local samples = vt.flatten(groups)
    local group_of = {}
    for _, g in ipairs(groups) do
      for _, s in ipairs(g) do group_of[s] = g end
    end

    local t = run:table("rho", { "step", "view", "n", "mean_nll", "rho", "lo", "hi", "p", "within", "tasks", "p_samples",
      "slow_quarter", "likely_quarter" })
    local last, weights_of = nil, {}
    local steps = p.steps ~= "" and vt.integers(p.steps) or vt.map(drawn, function(same) return same.key end)
    for _, step in ipairs(steps) do weights_of[step] = vt.weights(("%s@step%d"):format(dir, step)) end -- all, before one is scored
    for _, step in ipairs(steps) do
      run:stage(("scoring under step %d"):format(step))
      local weights = weights_of[step]
      local nll = {}
      vt.map(samples, function(s) nll[s] = -weights:score(group_of[s].prompt, s.tokens):sum() end)
      for _, view in ipairs(views) do
        local have = {}
        local these = vt.filter(samples, function(s) return view[2](s, have) end)
        local found = correlations(these, nll)
        local rho, within, of_samples = found.rho, found["rho within tasks"], found["rho, samples as cases"]
        run:statistics(("step %d, %s"):format(step, view[1]), found)
        local slow = #these >= 12 and correlations(quartile(these, speed), nll).rho or nil
        local likely = #these >= 12 and correlations(quartile(these, function(s) return nll[s] end), nll).rho or nil
        local mean = 0
        for _, s in ipairs(these) do mean = mean + nll[s] / #these end
        t:row(step, view[1], #these, #these > 0 and mean or nil, rho and rho.value, rho and rho.lo, rho and rho.hi,
          rho and rho.p, within and within.value, within and within.n, of_samples and of_samples.p, slow and slow.value,
          likely and likely.value)
        if view[1] == "correct" then last = rho and rho.value end
      end
    end
    run:plot("rho", { data = t, x = "step", y = "rho", by = "view", ref = 0, title = "Does likelihood rank speed?",
      y_label = "Spearman of NLL and speedup (negative: surprising = slower)" })
    return { run = dir, samples = #samples, rho_correct = last }
  end,
}
