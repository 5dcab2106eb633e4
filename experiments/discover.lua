-- SPDX-License-Identifier: Apache-2.0
--- Discover: adaptation with an archive. Each group goes on from a kernel that was found before, chosen by PUCT, and the
--- entropic objective rewards the best of a group instead of its mean.
local vt = require "vegttt"

-- The question, with a kernel to improve where the group goes on from one.
local function prompt_of(task, node, p)
  if not node.what then return vt.prompt(task, p) end
  local c = vt.context(vt.prompt(task, p))
  c:add(("A version that is %.2f times as fast:"):format(math.exp(node.value)), ("```c\n%s\n```"):format(node.what.code))
  return c:ask "Write a version that is faster still."
end

-- Correct samples as the archive takes them; a copy is worth what the shown function is.
local function found_in(group)
  local out = {}
  for _, s in ipairs(vt.filter(group, function(x) return x.result.correct end)) do
    out[#out + 1] = { value = math.log(s.result.speedup), key = s.code_sha, what = s }
  end
  return out
end

return vt.experiment {
  name = "discover",
  doc = "Entropic adaptation with a PUCT archive of kernels (TTT-Discover's scheme at a small size).",
  takes = "48 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.adapt_params {
    k = { 4, "rollouts per group (TTT-Discover: 64)", min = 2 },
    groups = { 2, "groups per task and step, each from another kernel of the archive (TTT-Discover: 8)", min = 1 },
    steps = { 2, "gradient steps (TTT-Discover: 50)" },
    tasks = { "4,14", "problem ids or task files; empty = the whole subset", list = true },
    reward = { "raw" },
    advantage = { "entropic" },
    patience = false,
    c = { 1.0, "weight of exploration in PUCT", min = 0 },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.groups * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks, policy, learner = vt.tasks(p), vt.policy(p.model):need(p.null ~= "frozen" and "update" or nil), vt.learner(run, p)
    local archives, all = {}, {}
    for i in ipairs(tasks) do archives[i] = vt.archive { c = p.c } end
    local t = run:table("steps", { "step", "groups", "sample_correct", "sample_fast_1_sure", "sample_fast_1", "no_copies", "per_code", "distinct",
      "archive", "from_archive",
      "speedup" })
    for step = 0, p.steps do
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights, asked = policy:snapshot("step" .. step), {}
      for i, task in ipairs(tasks) do
        for j, node in ipairs(archives[i]:pick(p.groups)) do asked[#asked + 1] = { task = task, i = i, j = j, node = node } end
      end
      local groups = vt.map(asked, function(a)
        return vt.draw(weights, { a.task }, p, { draw = ("%s/%d"):format(learner:draw(step), a.j), place = step,
          prompt = function(task) return prompt_of(task, a.node, p) end })[1]
      end)
      local n_from, n_nodes, log = 0, 0, 0
      for n, a in ipairs(asked) do
        archives[a.i]:add(a.node, found_in(groups[n]))
        n_from = n_from + (a.node.what and 1 or 0)
        all[#all + 1] = groups[n]
      end
      for _, archive in ipairs(archives) do
        n_nodes = n_nodes + #archive.nodes - 1
        log = log + vt.max_by(archive.nodes, "value").value / #archives
      end
      local s = vt.scores(groups)
      t:row(step, #groups, s.sample_correct, s.sample_fast_1_sure, s.sample_fast_1, s.no_copies, s.per_code, s.distinct, n_nodes, n_from, math.exp(log))
      run:statistics("step " .. step, groups)
      if step < p.steps then learner:step(policy, groups) end
    end
    run:plot("steps", { data = t, x = "step", y = "speedup", title = "Best so far, by first verdicts",
      y_label = "geometric mean over tasks" })
    -- The archive's value is the best of many first verdicts; what a task has is what its kernel was worth when judged again.
    local first, again = {}, {}
    for i, archive in ipairs(archives) do first[i] = vt.max_by(archive.nodes, "value").value end
    for i, b in ipairs(run:kernels(all, { steps = true })) do
      again[i] = b.verdict and b.verdict.correct and math.log(b.verdict.speedup) or 0
    end
    run:statistics("best, by first verdicts", { log_speedup = vt.stats.mean_ci(first) })
    run:statistics("best, judged again", { log_speedup = vt.stats.mean_ci(again) })
    return { speedup = math.exp(vt.stats.mean(again)), first_speedup = math.exp(vt.stats.mean(first)) }
  end,
}
