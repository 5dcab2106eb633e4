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
    local code = vt.code_of(s)
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
  takes = "21 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.gather_params { repeats = { 20, "random orders that are averaged", min = 1 } },

  main = function(run, p)
    local groups = vt.gather(p, "logprobs")
    local k, names = #vt.max_by(groups, function(g) return #g end), {}
    for i, o in ipairs(orders) do names[i] = o[1] end

    local t = run:table("curve", table.move(names, 1, #names, 2, { "evaluated" }))
    local kept = {}
    for _, m in ipairs(vt.powers(2, k)) do
      local row, logs = { m }, {}
      for _, o in ipairs(orders) do
        local n, of = o[1] == "random" and p.repeats or 1, {}
        for i, g in ipairs(groups) do
          of[i] = 0
          for j = 1, n do
            of[i] = of[i] + best_of(g, o[2], m, run:rng(("%s/%d/%d/%d"):format(o[1], m, i, j))) / n
          end
        end
        row[#row + 1] = math.exp(vt.stats.mean(of))
        logs[o[1]], kept[o[1]] = of, kept[o[1]] or row[#row]
      end
      t:row(table.unpack(row))
      run:statistics(("first %d, log speedup"):format(m), { surprising = vt.stats.mean_ci(logs.surprising),
        ["surprising against likely"] = vt.stats.paired(logs.surprising, logs.likely),
        ["surprising against random"] = vt.stats.paired(logs.surprising, logs.random) })
    end
    run:plot("curve", { data = t, x = "evaluated", y = names, logx = 2, title = "Evaluating the first m of K",
      x_label = "different codes evaluated per task", y_label = "geometric mean of the best, for sure" })
    return { groups = #groups, first_surprising = kept.surprising, first_likely = kept.likely, first_random = kept.random }
  end,
}
