-- SPDX-License-Identifier: Apache-2.0
--- SDPO: the model, shown more than the student saw, teaches itself token by token.
local vt = require "vegttt"

-- The teacher reads the question, perhaps a correct solution that ANOTHER sample found, perhaps what became of this
-- answer, and never the answer itself. null: exactly what the student read, so the teacher is the student.
local function teacher_prompt(run, s, group, p)
  local shown = group.prompt
  if p.context == "null" then return shown end
  local c = vt.context(shown)
  if p.context == "solution" or p.context == "both" then
    local others = vt.filter(group, function(o) return o.result.correct and o.code_sha ~= s.code_sha end)
    if #others > 0 then
      local draw = run:rng(("solution/%d/%d/%d"):format(s.task.id, group.weights.step, s.i))
      c:add("A correct solution:", ("```c\n%s\n```"):format(draw:pick(others).code))
    end
  end
  if p.context == "feedback" or p.context == "both" then
    c:add("What became of an earlier answer:", s.result:feedback { max_chars = 600 })
  end
  return c:ask "Correctly solve the original question."
end

-- Advantage of each token: what the teacher thinks of it, less what the student thought. Returns the mean of |A|.
local function teach(run, teacher, groups, p)
  local sum, n = 0, 0
  vt.map(vt.flatten(groups), function(s)
    local group = vt.find(groups, function(g) return g.task == s.task end)
    local of_teacher = teacher:score(teacher_prompt(run, s, group, p), s.tokens, { bill = "teacher" })
    s.advantage = (of_teacher - s.logprobs) * p.beta
    for t = 1, #s.advantage do sum, n = sum + math.abs(s.advantage[t]), n + 1 end
  end)
  return n > 0 and sum / n or 0
end

return vt.experiment {
  name = "sdpo",
  doc = "Self-distillation: the teacher is the model itself with feedback, a solution, only the question again, or nothing.",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 1, "gradient steps", extend = true },
    context = { "feedback", "what the teacher reads besides: null = nothing, prompt = the question put again",
      choices = { "null", "prompt", "solution", "feedback", "both" } },
    teacher = { "current", "whose weights the teacher has", choices = { "start", "current" } },
    beta = { 1.0, "factor of the advantages; Adam's first step hides it", above = 0 },
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model)
    if not policy.caps.score then error(("%s cannot score answers, which a teacher must"):format(p.model), 0) end
    local t = run:table("trajectory", { "step", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1", "distinct", "advantage",
      "kl_start" })
    local all, stop = {}, vt.early_stop { patience = p.patience }
    local first, last
    for step = 0, p.steps do
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      local groups = vt.draw(weights, tasks, p)
      local s, asked = vt.scores(groups), nil
      local kl = vt.kl(policy:start(), groups)
      all[#all + 1], first, last = groups, first or s, s
      local is_last = step == p.steps or stop:offer(s.sample_fast_1_sure, { step = step }) == "stop"
      if not is_last then
        run:stage(("the teacher reads step %d"):format(step))
        asked = teach(run, p.teacher == "start" and policy:start() or weights, groups, p)
      end
      t:row(step, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.distinct, asked, kl)
      run:log("step", { step = step, sample_fast_1 = s.sample_fast_1, sample_fast_1_sure = s.sample_fast_1_sure, sample_correct = s.sample_correct,
        advantage = asked, kl_start = kl })
      if is_last then break end
      if asked == 0 then
        run:stage "the teacher is the student: nothing to learn"
        break
      end
      local u = policy:update(vt.batch(groups), { lr = p.lr, loss = "importance_sampling" })
      run:log("update", { step = step + 1, loss = u.loss, grad_norm = u.grad_norm, kl = u.kl_sample_train })
    end
    run:plot("trajectory", { data = t, x = "step", y = { "sample_correct", "sample_fast_1_sure" }, title = "SDPO, " .. p.context,
      y_label = "share of samples" })
    run:kernels(all, { steps = true })
    run:save("last", policy:snapshot("last"))
    return { context = p.context, updates = policy:snapshot("last").step, first_fast_1_sure = first.sample_fast_1_sure,
      last_fast_1_sure = last.sample_fast_1_sure, last_fast_1 = last.sample_fast_1 }
  end,
}
