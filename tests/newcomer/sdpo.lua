-- SPDX-License-Identifier: Apache-2.0
--
-- Self-distilled policy optimisation: the teacher is the same model, told what happened when each answer ran.
local vt = require "vegttt"

return vt.experiment {
  name = "sdpo", doc = "The student learns what it would have said had it known the feedback.",
  params = vt.adapt_params { feedback = { true, "the teacher sees what happened" } },
  main = function(run, p)
    local policy, tasks = vt.policy(p.model), vt.tasks(p)
    local t = run:table("steps", { "step", "correct", "mean_advantage" })
    local first = policy:start()
    for step = 1, p.steps do
      local w = policy:snapshot()
      local groups = vt.draw(w, tasks, p)
      local advantages = {}
      for _, g in ipairs(groups) do
        for _, s in ipairs(g) do
          local prompt = g.prompt
          if p.feedback then
            prompt = vt.context(prompt):add("What happened", s.result:feedback { max_chars = 300 })
              :ask "Solve the original question correctly."
          end
          local teacher = w:score(prompt, s.tokens, { bill = "teacher" })
          local student = w:score(g.prompt, s.tokens)
          s.advantage = teacher - student
          advantages[#advantages + 1] = s.advantage:mean()
        end
      end
      t:row(step, vt.stats.rate(groups, "correct").value, vt.stats.mean(advantages))
      policy:update(vt.batch(groups), { lr = p.lr })
    end
    return { moved = policy:snapshot("last") ~= first, lr = p.lr, scored = run:meter().spent.scored_tokens,
      sampled = run:meter().spent.sampled_tokens }
  end,
}
