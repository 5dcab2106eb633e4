-- SPDX-License-Identifier: Apache-2.0
--- Presort: only some of K samples are evaluated, chosen by likelihood before anything is compiled. How many evaluations
--- are saved, for what loss? Offline, on recorded samples whose verdicts are all known.
local vt = require "vegttt"

local orders = {
  { "surprising", function(s) return s.logprob end },
  { "likely", function(s) return -s.logprob end },
  { "short", function(s) return s.n_tokens end },
  { "random", function(_, rng) return rng:uniform() end },
}

-- The best speedup for sure among the m samples that come first, each code once (a second copy needs no evaluation).
local function best_of(samples, key, m, rng)
  local have, n, best = {}, 0, 1
  for _, s in ipairs(vt.sort_by(samples, function(s) return key(s, rng) end)) do
    local code = s.code_sha or s.text
    if not have[code] then
      if n == m then break end
      have[code], n = true, n + 1
      if vt.stats.is_sure(s.result, 1) then best = math.max(best, s.result.speedup) end
    end
  end
  return math.log(best)
end

return vt.experiment {
  name = "presort",
  doc = "Evaluate only the first m of K samples in an order by likelihood, length or chance.",
  params = vt.task_params {
    from = { "", "recorded runs to read, as a glob; empty = draw K samples here" },
    k = { 8, "samples per task, where they are drawn here", extend = true },
    step = { 0, "the step whose samples are read, where a run has several", min = 0 },
    repeats = { 20, "random orders that are averaged", min = 1 },
  },

  main = function(run, p)
    local groups = p.from ~= "" and vt.rollouts(p.from) or vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)
    groups = vt.filter(groups, function(g) return (g.step or 0) == p.step end)
    if #groups == 0 then error(("no samples of step %d in %s"):format(p.step, p.from), 0) end
    local k, names = #vt.max_by(groups, function(g) return #g end), {}
    for i, o in ipairs(orders) do names[i] = o[1] end

    local t = run:table("curve", table.move(names, 1, #names, 2, { "evaluated" }))
    local kept = {}
    for _, m in ipairs(vt.powers(2, k)) do
      local row = { m }
      for _, o in ipairs(orders) do
        local n, logs = o[1] == "random" and p.repeats or 1, {}
        for i, g in ipairs(groups) do
          logs[i] = 0
          for j = 1, n do
            logs[i] = logs[i] + best_of(g, o[2], m, run:rng(("%s/%d/%d/%d"):format(o[1], m, i, j))) / n
          end
        end
        row[#row + 1] = math.exp(vt.stats.mean(logs))
        kept[o[1]] = kept[o[1]] or row[#row]
      end
      t:row(table.unpack(row))
    end
    run:plot("curve", { data = t, x = "evaluated", y = names, logx = 2, title = "Evaluating the first m of K",
      x_label = "different codes evaluated per task", y_label = "geometric mean of the best, for sure" })
    return { groups = #groups, first_surprising = kept.surprising, first_likely = kept.likely, first_random = kept.random }
  end,
}
