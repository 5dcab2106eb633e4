-- SPDX-License-Identifier: Apache-2.0
--- Variance: how far apart the log-probabilities of a task's correct answers lie, since a rule that ranks by likelihood
--- needs a spread to work with; and which end of it wins, task by task.
local vt = require "vegttt"

return vt.experiment {
  name = "variance",
  doc = "Per task: spread of log-probabilities, distinct codes, and the surprising against the likely answer.",
  takes = "92 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.gather_params {
    tasks = { "", "problem ids or task files; empty = the whole subset", list = true },
    wide = { 1.0, "a spread above this counts as wide (the papers: 1.0)" },
    narrow = { 0.15, "a spread below this counts as narrow (the papers: 0.15)" },
  },

  main = function(run, p)
    local groups = vt.gather(p, "logprobs")
    local t = run:table("tasks", { "task", "name", "n", "correct", "codes", "top_code", "copies", "sd_logprob", "sd_all",
      "surprisal", "confidence", "winner" })
    local n, rare_speeds, likely_speeds = { wide = 0, narrow = 0 }, {}, {}
    for _, of_task in ipairs(vt.group_by(groups, function(g) return g.task.id end)) do
      local samples = vt.flatten(of_task)
      local correct = vt.filter(samples, function(s) return s.result.correct end)
      local codes = vt.group_by(correct, vt.code_of)
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
        table.insert(rare_speeds, a)
        table.insert(likely_speeds, b)
      end
      local top = vt.max_by(codes, function(c) return #c end)
      t:row(of_task[1].task.id, of_task[1].task.name, #samples, #correct, #codes, top and #top / #correct or nil,
        vt.stats.rate(samples, "is_copy").value, sd, logprobs(samples), rare and rare.result.speedup,
        likely and likely.result.speedup, winner)
    end
    run:statistics("samples", groups)
    if #rare_speeds == 0 then return { tasks = 0, wide = n.wide, narrow = n.narrow } end
    local test = vt.stats.paired(rare_speeds, likely_speeds)
    run:statistics("surprisal against confidence", { speedup = test })
    return { tasks = test.n, wide = n.wide, narrow = n.narrow, surprisal_wins = test.wins, confidence_wins = test.losses,
      ties = test.ties, p = test.p, p_min = test.p_min }
  end,
}
