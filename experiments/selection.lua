-- SPDX-License-Identifier: Apache-2.0
--- Selection: which of K samples would a rule have kept, and is that better than chance, copies or no copies?
local vt = require "vegttt"

-- The rule of that name, or of a file that returns one. Its name is compared with those of `others` (name -> where from),
-- before any samples are drawn.
local function rule_of(name, others)
  if not name:find "%.lua$" then
    local known = vt.find(vt.select.order, function(x) return x == name end)
    return known and vt.select.rules[name] or vt.refuse("there is no rule '%s'; there are %s, and files that return one (mine.lua)", name,
      table.concat(vt.select.order, ", "))
  end
  local rule = vt.select.load(name)
  if others[rule.name] then vt.refuse("the rule of %s is called '%s', and so is %s; rename one", name, rule.name, others[rule.name]) end
  others[rule.name] = "the rule of " .. name
  return rule
end

-- Selected success at fewer samples; each_once: at so many different codes.
local function curve(run, name, all, no_copies, each_once)
  local t = run:table("curve_" .. name:gsub("%W", "_"), { "k", "fast_1_sure", "lo", "hi", "fast_1", "no_copies_sure", "no_copies",
    "each_once_sure" })
  for i, at in ipairs(all) do
    local sure = at.fast_sure
    t:row(at.k, sure.value, sure.lo, sure.hi, at.fast.value, no_copies[i].fast_sure.value, no_copies[i].fast.value,
      each_once[i] and each_once[i].k == at.k and each_once[i].fast_sure.value or nil)
    run:statistics(("%s at k = %d"):format(name, at.k), { selected_fast_1_sure = sure, selected_fast_1 = at.fast })
  end
  run:plot(t.name, { data = t, x = "k", y = { "fast_1_sure", "fast_1", "no_copies_sure", "each_once_sure" }, band = { "lo", "hi" },
    logx = 2, title = "Selection by " .. name, y_label = "share of tasks" })
end

-- What DeepConf's online stop would have saved, per task.
local function online(run, groups)
  local t = run:table("online", { "task", "name", "answers", "stopped", "tokens", "tokens_online" })
  for _, g in ipairs(groups) do
    local tokens, left, stopped = 0, 0, 0
    for _, s in ipairs(g) do tokens, left, stopped = tokens + s.n_tokens, left + s.online_tokens, stopped + 1 - s.online_kept end
    t:row(g.task.id, g.task.name, #g, stopped, tokens, left)
  end
end

return vt.experiment {
  name = "selection",
  doc = "Score selection rules on recorded samples, or on samples of its own: every rule with and without copies.",
  takes = "20 s of processor time on a Sapphire Rapids of two cores that had other work, too",
  params = vt.gather_params {
    rules = { "", "rules to compare, names or files; empty = all that are shipped", list = true, type = "string" },
    detail = { false, "score the samples for rules by entropy, self-certainty and DeepConf; needs the model" },
    warmup = { 8, "answers of a task that DeepConf's online stop lets end, to find its bar", min = 1, needs = "detail" },
    keep = { 0.9, "share of them that passes the bar (DeepConf-high 0.9, -low 0.1)", min = 0, max = 1, needs = "detail" },
    a = { "surprisal", "rule under test, against b" },
    b = { "confidence", "rule it is compared with" },
    curves = { "surprisal,confidence,random", "rules shown at subsets of K", list = true, type = "string" },
    subsets = { 20, "subsets drawn per K, for rules whose mean over all subsets has no formula", min = 1 },
  },

  main = function(run, p)
    local names = #p.rules > 0 and p.rules or vt.filter(vt.select.order, function(name)
      return p.detail or vt.select.rules[name].needs ~= "detail"
    end)
    local rules, all, known, needs = {}, {}, {}, {}
    for _, name in ipairs(vt.select.order) do known[name] = "a rule that is shipped" end
    for _, name in ipairs(vt.flatten { names, p.curves, { p.a, p.b } }) do
      rules[name] = rules[name] or rule_of(name, known)
      all[#all + 1] = rules[name]
      needs[#needs + 1] = rawget(rules[name], "needs")
    end
    local groups = vt.gather(p, table.unpack(needs))
    if p.detail then online(run, vt.detail(groups, { warmup = p.warmup, keep = p.keep })) end
    local picks = vt.select.each(all, groups, { seed = p.seed })
    local function of(pool, name) return picks[pool][rules[name].name] end
    local function sure(pool, name) return of(pool, name):fast_sure() end

    local t = run:table("rules", { "rule", "fast_1_sure", "lo", "hi", "no_copies", "no_near_copies", "each_once", "before_check",
      "fast_1", "speedup", "empty", "checks", "measures" })
    for _, name in ipairs(names) do
      local kept, share, n_empty = of("all", name), sure("all", name), 0
      for _, pick in ipairs(of("no_copies", name)) do n_empty = n_empty + (#pick.samples == 0 and 1 or 0) end
      t:row(name, share.value, share.lo, share.hi, sure("no_copies", name).value, sure("no_near_copies", name).value,
        sure("each_once", name).value, sure("before_check", name).value, kept:fast().value,
        math.exp(vt.stats.mean(kept:outcomes "log_speedup")), n_empty, kept.cost.checks, kept.cost.measures)
      for pool in vt.sorted_pairs(picks) do
        run:statistics(("%s, %s"):format(name, pool), { selected_fast_1_sure = sure(pool, name), selected_fast_1 = of(pool, name):fast() })
      end
    end

    local tests = run:table("tests", { "pool", "a", "b", "a_fast_1_sure", "b_fast_1_sure", "wins", "losses", "ties", "p",
      "p_min", "h", "wilcoxon_p" })
    for _, pool in ipairs { "all", "no_copies", "no_near_copies", "each_once", "before_check" } do
      local x, y = of(pool, p.a):outcomes "log_speedup", of(pool, p.b):outcomes "log_speedup"
      local test, ranks = vt.stats.paired(x, y), vt.stats.wilcoxon(x, y)
      local a, b = sure(pool, p.a).value, sure(pool, p.b).value
      tests:row(pool, p.a, p.b, a, b, test.wins, test.losses, test.ties, test.p, test.p_min, vt.stats.cohens_h(a, b), ranks.p)
      run:statistics(("%s against %s, %s"):format(p.a, p.b, pool), { log_speedup = test, ["log_speedup, signed ranks"] = ranks })
    end
    local shown = {}
    for i, name in ipairs(p.curves) do shown[i] = rules[name] end
    local curves = vt.select.curves(shown, groups, { pools = { "all", "no_copies", "each_once" }, subsets = p.subsets, seed = p.seed })
    for i, name in ipairs(p.curves) do
      local id = shown[i].name
      curve(run, name, curves.all[id], curves.no_copies[id], curves.each_once[id])
    end
    return { groups = #groups, a = sure("all", p.a).value, b = sure("all", p.b).value,
      a_no_copies = sure("no_copies", p.a).value, b_no_copies = sure("no_copies", p.b).value }
  end,
}
