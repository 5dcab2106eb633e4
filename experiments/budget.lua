-- SPDX-License-Identifier: Apache-2.0
--- Budget: the same number of rollouts per task spent on s steps of adaptation and the rest on search, for every s.
local vt = require "vegttt"

-- One way to spend: s updates on k rollouts each, then everything that is left from the last weights.
local function spend(run, start, tasks, s, p)
  local policy, learner, drawn = start:branch(start:start()), vt.learner(run, p), {}
  for step = 1, s do
    local groups = vt.draw(policy:snapshot(("arm%d_step%d"):format(s, step - 1)), tasks, p, { n = p.k, again = true,
      draw = learner:draw(step), place = step - 1 })
    for _, g in ipairs(groups) do drawn[#drawn + 1] = g end
    learner:step(policy, groups, { arm = s })
  end
  local left = p.total - s * p.k
  run:stage(("%d steps, then %d samples"):format(s, left))
  local last = left > 0 and vt.draw(policy:snapshot(("arm%d_last"):format(s)), tasks, p, { n = left, again = true,
    draw = learner:draw(s + 1), place = s }) or {}
  for _, g in ipairs(last) do drawn[#drawn + 1] = g end
  return drawn, last
end

-- Per task: the best speedup for sure among everything drawn (1: the shown function stays), and whether there is one.
local function found(tasks, drawn)
  local out = {}
  for i, task in ipairs(tasks) do
    local sure = vt.filter(vt.flatten(vt.filter(drawn, function(g) return g.task.id == task.id end)),
      function(s) return vt.stats.is_sure(s.result, 1) end)
    local best = vt.max_by(sure, function(s) return s.result.speedup end)
    out[i] = { success = best and 1 or 0, log = best and math.log(best.result.speedup) or 0 }
  end
  return out
end

return vt.experiment {
  name = "budget",
  doc = "Search against adaptation at the same charged number of rollouts: s gradient steps, then sampling.",
  params = vt.adapt_params {
    total = { 24, "rollouts per task in every arm", min = 2 },
    k = { 8, "rollouts per task and gradient step", min = 2 },
    steps = { 2, "the largest s", min = 0 },
    patience = false, -- every arm spends all of its budget
  },

  plan = function(p)
    local tasks, n_arms = vt.tasks(p), p.steps + 1
    local n = #tasks * (p.total * n_arms - p.k * math.max(p.steps, 0))
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps * (p.steps + 1) // 2 }
  end,

  main = function(run, p)
    if p.steps * p.k > p.total then
      vt.refuse("--steps %d of --k %d rollouts are more than --total %d", p.steps, p.k, p.total)
    end
    local tasks, start = vt.tasks(p), vt.policy(p.model):need(p.steps > 0 and "update" or nil)
    local t = run:table("arms", { "steps", "rollouts", "task_success", "speedup", "wins", "losses", "ties", "p", "p_min",
      "last_fast_1_sure", "distinct" })
    local search, result
    for s = 0, p.steps do
      local drawn, last = spend(run, start, tasks, s, p)
      local each, success, logs = found(tasks, drawn), {}, {}
      for i, x in ipairs(each) do success[i], logs[i] = x.success, x.log end
      search = search or logs
      local test, row = vt.stats.paired(logs, search), #last > 0 and vt.scores(last)
      t:row(s, p.total, vt.stats.mean(success), math.exp(vt.stats.mean(logs)), test.wins, test.losses, test.ties, test.p,
        test.p_min, row and row.sample_fast_1_sure, vt.scores(drawn).distinct)
      run:statistics(("%d steps"):format(s), { log_speedup = vt.stats.mean_ci(logs), task_success_sure = vt.stats.mean_ci(success),
        ["log_speedup against search alone"] = test })
      run:statistics(("%d steps, all samples"):format(s), drawn)
      run:log("arm", { steps = s, task_success = vt.stats.mean(success), log_speedup = vt.stats.mean(logs) })
      if not result or vt.stats.mean(logs) > result.log then result = { steps = s, log = vt.stats.mean(logs) } end
    end
    run:plot("arms", { data = t, x = "steps", y = "speedup", title = ("%d rollouts per task"):format(p.total),
      x_label = "gradient steps before the search", y_label = "geometric mean of the best, for sure" })
    return { steps = result.steps, speedup = math.exp(result.log) }
  end,
}
