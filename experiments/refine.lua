-- SPDX-License-Identifier: Apache-2.0
--- Refinement: the model reads its own answer and what became of it, and answers again; against fresh draws at the same
--- number of rollouts.
local vt = require "vegttt"

-- The question, the answer so far, its verdict.
local function ask_again(task, s, p)
  local c = vt.context(vt.prompt(task, p))
  c:add("An earlier answer:", ("```c\n%s\n```"):format(s.code or s.text))
  c:add("What became of it:", s.result:feedback { max_chars = 600 })
  return c:ask "Write a faster correct version."
end

-- The answer to go on from: the fastest for sure, else a correct one, else the likeliest.
local function best_of(samples)
  return vt.max_by(samples, function(s)
    local v = s.result
    return (v.correct and 1e6 + (vt.stats.is_sure(v, 1) and v.speedup or 0)) or s.logprob
  end)
end

return vt.experiment {
  name = "refine",
  doc = "Multi-turn refinement of the best answer so far, beside independent sampling of as many answers.",
  takes = "67 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.task_params {
    k = { 4, "samples per task and turn", min = 1 },
    turns = { 3, "turns; the first is an ordinary draw", min = 1 },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (2 * p.turns - 1)
    return { tasks = tasks, samples = n, evaluations = n }
  end,

  main = function(run, p)
    local tasks, weights = vt.tasks(p), vt.policy(p.model):start()
    local t = run:table("turns", { "turn", "rollouts", "refined", "sampled", "refined_sure", "sampled_sure", "wins", "losses", "ties", "p" })
    local refined, sampled, all = {}, {}, {}
    local function add(to, groups)
      for i, g in ipairs(groups) do
        to[i] = table.move(g, 1, #g, #(to[i] or {}) + 1, to[i] or {})
        all[#all + 1] = g
      end
    end
    local function best(lists)
      local logs, sure = {}, {}
      for i, list in ipairs(lists) do
        local b = best_of(list).result
        sure[i] = vt.stats.is_sure(b, 1) and 1 or 0
        logs[i] = sure[i] == 1 and math.log(b.speedup) or 0
      end
      return math.exp(vt.stats.mean(logs)), vt.stats.mean(sure), logs
    end
    for turn = 1, p.turns do
      run:stage(("turn %d of %d"):format(turn, p.turns))
      if turn == 1 then
        local first = vt.draw(weights, tasks, p)
        add(refined, first)
        for i, g in ipairs(first) do sampled[i] = table.move(g, 1, #g, 1, {}) end
      else
        local index = {}
        for i, task in ipairs(tasks) do index[task] = i end
        add(refined, vt.draw(weights, tasks, p, { draw = "turn" .. turn,
          prompt = function(task) return ask_again(task, best_of(refined[index[task]]), p) end }))
        add(sampled, vt.draw(weights, tasks, p, { draw = "fresh" .. turn }))
      end
      local a, a_sure, a_logs = best(refined)
      local b, b_sure, b_logs = best(sampled)
      local test = vt.stats.paired(a_logs, b_logs)
      t:row(turn, turn * p.k, a, b, a_sure, b_sure, test.wins, test.losses, test.ties, test.p)
      run:statistics(("turn %d"):format(turn), { ["log_speedup, refined against sampled"] = test,
        ["log_speedup, refined"] = vt.stats.mean_ci(a_logs), ["log_speedup, sampled"] = vt.stats.mean_ci(b_logs) })
    end
    run:plot("turns", { data = t, x = "rollouts", y = { "refined", "sampled" }, title = "Refining against sampling",
      y_label = "geometric mean of the best, for sure" })
    run:kernels(all)
    local a, b = best(refined), best(sampled)
    return { refined = a, sampled = b }
  end,
}
