-- SPDX-License-Identifier: Apache-2.0
--- Variance: how far apart the log-probabilities of a task's correct answers lie, since a rule that ranks by likelihood
--- needs a spread to work with; and which end of it wins, task by task.
local vt = require "vegttt"

return vt.experiment {
  name = "variance",
  doc = "Per task: spread of log-probabilities, distinct codes, and the surprising against the likely answer.",
  params = vt.task_params {
    from = { "", "recorded runs to read, as a glob; empty = draw K samples here" },
    k = { 8, "samples per task, where they are drawn here", extend = true },
    step = { 0, "the step whose samples are read, where a run has several", min = 0 },
    tasks = { "", "problem ids or task files; empty = the whole subset", list = true },
    wide = { 1.0, "a spread above this counts as wide (the papers: 1.0)" },
    narrow = { 0.15, "a spread below this counts as narrow (the papers: 0.15)" },
  },

  main = function(run, p)
    local groups = p.from ~= "" and vt.rollouts(p.from) or vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)
    groups = vt.filter(groups, function(g) return (g.step or 0) == p.step end)
    if #groups == 0 then error(("no samples of step %d in %s"):format(p.step, p.from), 0) end

    local t = run:table("tasks", { "task", "name", "n", "correct", "codes", "top_code", "copies", "sd_logprob", "sd_all",
      "surprisal", "confidence", "winner" })
    local n = { wide = 0, narrow = 0, surprisal = 0, confidence = 0, tie = 0 }
    for _, of_task in ipairs(vt.group_by(groups, function(g) return g.task.id end)) do
      local samples = vt.flatten(of_task)
      local correct = vt.filter(samples, function(s) return s.result.correct end)
      local codes = vt.group_by(correct, "code_sha")
      local function logprobs(list)
        local x = {}
        for i, s in ipairs(list) do x[i] = s.logprob end
        return #x > 1 and vt.stats.sd(x) or nil
      end
      local sd = logprobs(correct)
      if sd and sd > p.wide then n.wide = n.wide + 1 end
      if sd and sd < p.narrow then n.narrow = n.narrow + 1 end
      local rare, likely, winner = vt.min_by(correct, "logprob"), vt.max_by(correct, "logprob"), nil
      if rare then
        local a, b = rare.result.speedup, likely.result.speedup
        winner = a > b and "surprisal" or a < b and "confidence" or "tie"
        n[winner] = n[winner] + 1
      end
      local top = vt.max_by(codes, function(c) return #c end)
      t:row(of_task[1].task.id, of_task[1].task.name, #samples, #correct, #codes, top and #top / #correct or nil,
        vt.stats.rate(samples, "is_copy").value, sd, logprobs(samples), rare and rare.result.speedup,
        likely and likely.result.speedup, winner)
    end
    local test = vt.stats.sign_test(n.surprisal, n.confidence)
    return { tasks = n.surprisal + n.confidence + n.tie, wide = n.wide, narrow = n.narrow, surprisal_wins = n.surprisal,
      confidence_wins = n.confidence, ties = n.tie, p = test.p, p_min = test.p_min }
  end,
}
