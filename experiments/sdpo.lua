-- SPDX-License-Identifier: Apache-2.0
--- SDPO: the model, shown more than the student saw, teaches itself token by token.
local vt = require "vegttt"

local max_feedback = 600 -- characters

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
    c:add("What became of an earlier answer:", s.result:feedback { max_chars = max_feedback })
  end
  return c:ask "Correctly solve the original question."
end

-- Refuses before anything is drawn what the longest context could not hold: a character is a token at most.
local function check_room(policy, tasks, p)
  local most = p.max_tokens
  if p.context == "solution" or p.context == "both" then most = most + p.max_tokens end
  if p.context == "feedback" or p.context == "both" then most = most + max_feedback end
  for _, task in ipairs(tasks) do
    local room = policy:room(vt.context(vt.prompt(task, p)):ask "Correctly solve the original question.")
    if room and room < most then
      vt.refuse("the teacher's context of task %d may need %d tokens behind the question, and the window has room for %d; lower --max_tokens or take another --context", task.id, most, room)
    end
  end
end

-- Advantage of each token: what the teacher thinks of it, less what the student thought; under topk a weight for each of
-- the student's likeliest tokens. Returns the mean of |A| per value.
local function teach(run, teacher, groups, p)
  local sum, n = 0, 0
  vt.map(vt.flatten(groups), function(s)
    local group = vt.find(groups, function(g) return g.task == s.task end)
    local prompt = teacher_prompt(run, s, group, p)
    if p.loss == "topk" then
      local top = group.weights:top(group.prompt, s.tokens, p.topk)
      s.targets = top.ids
      s.advantage = vt.distil(top.logprobs, teacher:score(prompt, s.tokens, { bill = "teacher", targets = top.ids }), p.topk, p.alpha) * p.beta
    else
      s.advantage = (teacher:score(prompt, s.tokens, { bill = "teacher" }) - s.logprobs) * p.beta
    end
    for t = 1, #s.advantage do sum, n = sum + math.abs(s.advantage[t]), n + 1 end
  end)
  return n > 0 and sum / n or 0
end

return vt.experiment {
  name = "sdpo",
  doc = "Self-distillation: the teacher is the model itself with feedback, a solution, only the question again, or nothing.",
  takes = "75 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.adapt_params {
    k = { 8, "rollouts per task and step (the papers: 32)", min = 2 },
    steps = { 1, "gradient steps", extend = true },
    context = { "feedback", "what the teacher reads besides: null = nothing, prompt = the question put again",
      choices = { "null", "prompt", "solution", "feedback", "both" } },
    teacher = { "current", "whose weights the teacher has; ema = their moving average (--ema), as SDPO is shipped",
      choices = { "start", "current", "ema" } },
    loss = { "importance_sampling", "the papers' loss of the sampled tokens, or topk: of the student's likeliest tokens at each position",
      choices = { "importance_sampling", "topk" } },
    topk = { 20, "tokens a position under --loss topk, besides a bucket for all others (SDPO as shipped: 100)", min = 1, max = 64 },
    alpha = { 0.5, "under --loss topk the divergence: 0.5 = Jensen-Shannon (as shipped), 1 = KL(student || teacher)", above = 0, max = 1 },
    beta = { 1.0, "factor of the advantages; Adam's first step hides it", above = 0 },
    -- the teacher says what is learnt from a token: no reward does
    reward = false, advantage = false, entropy = false, kl = false, anchor = false, null = false,
  },

  plan = function(p)
    local tasks = vt.tasks(p)
    local n = #tasks * p.k * (p.steps + 1)
    return { tasks = tasks, samples = n, evaluations = n, updates = p.steps }
  end,

  main = function(run, p)
    local tasks, policy = vt.tasks(p), vt.policy(p.model):need("update", "score", p.loss == "topk" and "targets" or "score")
    check_room(policy, tasks, p)
    local t = run:table("trajectory", { "step", "sample_correct", "sample_fast_1_sure", "lo", "hi", "sample_fast_1", "no_copies", "per_code",
      "distinct", "advantage", "kl_start" })
    local all, stop, average = {}, vt.early_stop { patience = p.patience }, policy:start()
    local first, last
    for step = 0, p.steps do
      run:stage(("step %d of %d"):format(step, p.steps))
      local weights = policy:snapshot("step" .. step)
      average = policy:average(average, weights, p.ema)
      local groups = vt.draw(weights, tasks, p, { place = step })
      local s, asked, kl = vt.scores(groups), nil, vt.kl(policy:start(), groups)
      all[#all + 1], first, last = groups, first or s, s
      local is_last = step == p.steps or stop:offer(s.sample_fast_1_sure, { step = step }) == "stop"
      if not is_last then
        run:stage(("the teacher reads step %d"):format(step))
        asked = teach(run, p.teacher == "start" and policy:start() or p.teacher == "ema" and average or weights, groups, p)
      end
      t:row(step, s.sample_correct, s.sample_fast_1_sure, s.lo, s.hi, s.sample_fast_1, s.no_copies, s.per_code, s.distinct, asked, kl)
      run:statistics("step " .. step, groups)
      run:log("step", { step = step, sample_fast_1 = s.sample_fast_1, sample_fast_1_sure = s.sample_fast_1_sure, sample_correct = s.sample_correct,
        advantage = asked, kl_start = kl })
      if is_last then break end
      if asked == 0 then
        run:stage "the teacher is the student: nothing to learn"
        break
      end
      local u = policy:update(vt.batch(groups), { lr = p.lr, loss = p.loss == "topk" and "cross_entropy" or p.loss })
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
