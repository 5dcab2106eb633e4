-- SPDX-License-Identifier: Apache-2.0
--- Predict: do log-probabilities rank kernels that were never measured, before and after adaptation? Of each task's different
--- codes one half is measured and learnt from; the other half is only scored, and its speedups are looked up afterwards.
local vt = require "vegttt"

-- The samples of each group whose code fell into the measured half, and the others, each code once.
local function halves(run, groups)
  local measured, held = {}, {}
  for i, g in ipairs(groups) do
    local codes = vt.group_by(g, vt.code_of)
    local order, is_measured = run:rng(("halves/%d"):format(g.task.id)):shuffle(codes), {}
    for j, c in ipairs(order) do is_measured[c.key] = j <= (#order + 1) // 2 end
    measured[i] = setmetatable(vt.filter(g, function(s) return is_measured[vt.code_of(s)] end),
      { __index = { task = g.task, prompt = g.prompt, weights = g.weights } })
    held[i] = vt.filter(vt.codes { g }[1], function(s) return not is_measured[vt.code_of(s)] end)
  end
  return measured, held
end

local views = {
  { "all", function() return true end },
  { "correct", function(s) return s.result.correct end },
  { "no_copies", function(s) return s.result.correct and not s.result.is_copy end },
}

-- Spearman of log-probability and speedup: of all, and the mean of each task's own.
local function agreement(samples, logprob)
  local x, y, task = {}, {}, {}
  for i, s in ipairs(samples) do x[i], y[i], task[i] = logprob[s], s.result.correct and s.result.speedup or 0, s.task.id end
  if #x < 3 then return nil, nil end
  return vt.stats.spearman(x, y, { cluster = task }), vt.stats.spearman(x, y, { cluster = task, within = true })
end

return vt.experiment {
  name = "predict",
  doc = "Rank correlation of log-probability and speedup over kernels that were not measured, before and after adaptation.",
  takes = "50 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.adapt_params {
    k = { 16, "samples per task", min = 4 },
    steps = { 1, "gradient steps, all on the measured half", min = 1 },
    tasks = { "4,14,28", "problem ids or task files; empty = the whole subset", list = true },
    patience = false,
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    return { tasks = tasks, samples = #tasks * p.k, evaluations = #tasks * p.k, updates = p.steps }
  end,

  main = function(run, p)
    local policy = vt.policy(p.model):need("update", "score")
    local start, learner = policy:start(), vt.learner(run, p)
    local groups = vt.draw(start, vt.tasks(p), p)
    local measured, held = halves(run, groups)
    for step = 1, p.steps do
      run:stage(("update %d of %d"):format(step, p.steps))
      learner:step(policy, measured)
    end

    local t, found = run:table("agreement", { "weights", "half", "view", "codes", "rho", "lo", "hi", "p", "within", "tasks", "within_p" }), {}
    local parts = { { "measured", vt.flatten(vt.codes(measured)) }, { "held", vt.flatten(held) } }
    for _, w in ipairs { { "before", start }, { "after", policy:snapshot "adapted" } } do
      run:stage("scoring under the weights " .. w[1])
      for _, part in ipairs(parts) do
        local logprob = {}
        vt.map(part[2], function(s) logprob[s] = w[2]:score(s.prompt, s.tokens):sum() end)
        for _, view in ipairs(views) do
          local these = vt.filter(part[2], view[2])
          local rho, within = agreement(these, logprob)
          t:row(w[1], part[1], view[1], #these, rho and rho.value, rho and rho.lo, rho and rho.hi, rho and rho.p,
            within and within.value, within and within.n, within and within.p)
          if rho then run:statistics(("%s, %s, %s"):format(w[1], part[1], view[1]), { rho = rho, ["rho within tasks"] = within }) end
          found[("%s_%s_%s"):format(w[1], part[1], view[1])] = rho and rho.value
        end
      end
    end
    run:statistics("samples", groups)
    return { before = found.before_held_correct, after = found.after_held_correct, before_measured = found.before_measured_correct,
      after_measured = found.after_measured_correct }
  end,
}
