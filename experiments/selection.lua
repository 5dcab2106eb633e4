-- SPDX-License-Identifier: Apache-2.0
--- Selection: which of K samples would a rule have kept, and is that better than chance, copies or no copies?
local vt = require "vegttt"

local pools = { "all", "no_copies", "no_near_copies" }

-- The rule of that name, or of a file that returns one.
local function rule_of(name)
  if name:find "%.lua$" then return dofile(name) end
  return vt.select.rules[name]
end

-- picks[pool][rule]; "each_once" is each code once, without copies: one code can be most of a task's samples.
local function pick_all(names, groups, p)
  local picks = {}
  for _, pool in ipairs { "all", "no_copies", "no_near_copies", "each_once" } do
    picks[pool] = {}
    for _, name in ipairs(vt.flatten { names, { p.a, p.b } }) do
      local is_once = pool == "each_once"
      picks[pool][name] = vt.select.apply(rule_of(name), groups, { pool = is_once and "no_copies" or pool,
        distinct = is_once, seed = p.seed })
    end
  end
  return picks
end

-- Selected success of the rule at subsets of the recorded K: the mean over seeded draws without replacement.
local function curve(run, name, groups, p)
  local t = run:table("curve_" .. name:gsub("%W", "_"), { "k", "fast_1_sure", "fast_1" })
  local k_max = #vt.min_by(groups, function(g) return #g end)
  for _, k in ipairs(vt.powers(2, k_max)) do
    local sure, fast, n = 0, 0, k == k_max and 1 or p.subsets
    for i = 1, n do
      local subset = {}
      for j, g in ipairs(groups) do
        local rng = run:rng(("subset/%d/%d/%d"):format(k, i, j))
        subset[j] = setmetatable(table.move(rng:shuffle(g), 1, k, 1, {}), { __index = { task = g.task } })
      end
      local picks = vt.select.apply(rule_of(name), subset, { pool = p.pool, seed = p.seed + i })
      sure, fast = sure + picks:fast_sure().value / n, fast + picks:fast().value / n
    end
    t:row(k, sure, fast)
  end
  run:plot(t.name, { data = t, x = "k", y = { "fast_1_sure", "fast_1" }, logx = 2, title = "Selection by " .. name,
    y_label = "share of tasks" })
end

return vt.experiment {
  name = "selection",
  doc = "Score selection rules on recorded samples, or on samples of its own: every rule with and without copies.",
  params = vt.task_params {
    from = { "", "recorded runs to read, as a glob; empty = draw K samples here" },
    k = { 8, "samples per task, where they are drawn here", extend = true },
    step = { 0, "the step whose samples are read, where a run has several", min = 0 },
    rules = { "", "rules to compare, names or files; empty = all that are shipped", list = true, type = "string" },
    detail = { false, "score the samples for rules by entropy, self-certainty and DeepConf; needs the model" },
    a = { "surprisal", "rule under test, against b" },
    b = { "confidence", "rule it is compared with" },
    curves = { "surprisal,confidence,random", "rules shown at subsets of K", list = true, type = "string" },
    subsets = { 20, "subsets drawn per K", min = 1 },
    pool = { "all", "samples that curves pick from", choices = pools },
  },

  main = function(run, p)
    local names = #p.rules > 0 and p.rules or vt.filter(vt.select.order, function(name)
      return p.detail or not vt.select.rules[name].needs_detail
    end)
    for _, name in ipairs(vt.flatten { names, p.curves, { p.a, p.b } }) do rule_of(name) end -- misspelt: before any sampling
    local groups = p.from ~= "" and vt.rollouts(p.from) or vt.draw(vt.policy(p.model):start(), vt.tasks(p), p)
    groups = vt.filter(groups, function(g) return (g.step or 0) == p.step end)
    if p.detail then vt.detail(groups) end
    if #groups == 0 then error(("no samples of step %d in %s"):format(p.step, p.from), 0) end

    local t, picks = run:table("rules", { "rule", "fast_1_sure", "lo", "hi", "no_copies", "no_near_copies", "each_once",
      "fast_1", "speedup", "empty", "checks", "measures" }), pick_all(names, groups, p)
    local function sure(pool, rule) return picks[pool][rule]:fast_sure() end
    for _, name in ipairs(names) do
      local all = picks.all[name]
      local n_empty = #vt.filter(picks.no_copies[name], function(x) return #x.samples == 0 end)
      local share = sure("all", name)
      t:row(name, share.value, share.lo, share.hi, sure("no_copies", name).value, sure("no_near_copies", name).value,
        sure("each_once", name).value, all:fast().value, math.exp(vt.stats.mean(all:outcomes "log_speedup")), n_empty,
        all.cost.checks, all.cost.measures)
    end

    local tests = run:table("tests", { "pool", "a", "b", "a_fast_1_sure", "b_fast_1_sure", "wins", "losses", "ties", "p",
      "p_min", "h" })
    for _, pool in ipairs { "all", "no_copies", "no_near_copies", "each_once" } do
      local x, y = picks[pool][p.a]:outcomes "log_speedup", picks[pool][p.b]:outcomes "log_speedup"
      local n = { wins = 0, losses = 0, ties = 0 }
      for i = 1, #x do
        local won = x[i] > y[i] and "wins" or x[i] < y[i] and "losses" or "ties"
        n[won] = n[won] + 1
      end
      local sign = vt.stats.sign_test(n.wins, n.losses)
      local share_a, share_b = sure(pool, p.a).value, sure(pool, p.b).value
      tests:row(pool, p.a, p.b, share_a, share_b, n.wins, n.losses, n.ties, sign.p, sign.p_min,
        vt.stats.cohens_h(share_a, share_b))
    end
    for _, name in ipairs(p.curves) do curve(run, name, groups, p) end
    return { groups = #groups, a = sure("all", p.a).value, b = sure("all", p.b).value,
      a_no_copies = sure("no_copies", p.a).value, b_no_copies = sure("no_copies", p.b).value }
  end,
}
