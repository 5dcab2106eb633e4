-- SPDX-License-Identifier: Apache-2.0
--
-- Selection: rules that pick one sample of a group, from what a rule may know, at a cost that computes itself.
--
-- What a rule sees, and of which samples, is in select_view.lua; the rules that are shipped in rules.lua; early_stop is the
-- selection rule over steps. vt.select.each looks at the groups once for any number of rules and pools. The number of
-- groups stays the same in every pool: one in which nothing is left fails.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local curve = require "vegttt.select_curve"
local errors = require "vegttt.errors"
local groups_ = require "vegttt.groups"
local list = require "vegttt.list"
local params_ = require "vegttt.params"
local rng = require "vegttt.rng"
local rules = require "vegttt.rules"
local stats = require "vegttt.stats"
local view_ = require "vegttt.select_view"

local select_ = { rules = rules.by_name, order = rules.order }

local Picks = {}
local Cost = closed.record_class("picks.cost", { "checks", "measures" })
local picks_class = closed.class("vt.Picks", "picks", { "cost", "n", "known" }, Picks)

local function mean(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v end
  return #values > 0 and sum / #values or 0
end

-- Mean over the members of a pick (ties), 0 for a group without one.
local function scores(picks, value)
  local out = {}
  for i, p in ipairs(picks) do
    local members = {}
    for j, s in ipairs(p.samples) do members[j] = value(s.result) end
    out[i] = mean(members)
  end
  return out
end

-- The same, one value per task: groups of one task (seeds, steps) are averaged, since the task is the unit of every test.
local function task_scores(picks, value)
  local all, out = scores(picks, value), {}
  local of = {}
  for i, p in ipairs(picks) do of[i] = { task = p.group.task and p.group.task.id or i, score = all[i] } end
  for i, set in ipairs(list.group_by(of, "task")) do
    local sum = 0
    for _, x in ipairs(set) do sum = sum + x.score end
    out[i] = sum / #set
  end
  return out
end

local outcome = {
  fast = function(v) return stats.is_fast(v, 1) and 1 or 0 end,
  fast_sure = function(v) return stats.is_sure(v, 1) and 1 or 0 end,
  log_speedup = function(v) return v.correct and math.log(v.speedup) or 0 end,
}

-- The share of tasks with such a pick, interval over tasks; picks do not change, so it is computed once.
local function share(picks, what, p, is_hit)
  local key, known = ("%s %g"):format(what, p), rawget(picks, "known")
  if not known[key] then
    known[key] = stats.mean_ci(task_scores(picks, function(v) return is_hit(v, p) and 1 or 0 end), { bootstrap = 2000 })
  end
  return known[key]
end

---selected_fast_p of the papers.
function Picks:fast(p) return share(self, "fast", errors.number("picks:fast", "p", p or 1, 0), stats.is_fast) end

function Picks:fast_sure(p) return share(self, "sure", errors.number("picks:fast_sure", "p", p or 1, 0), stats.is_sure) end

---One number per task, in the order in which tasks first appear, for paired tests against another rule's: the share of
---what was picked that is "fast" or "fast_sure", or its "log_speedup". Where nothing correct was picked the shown
---function stays as it is: not fast, log speedup 0.
function Picks:outcomes(what)
  if not outcome[what] then
    errors.misuse("picks:outcomes", "picks:outcomes: \"fast\", \"fast_sure\" or \"log_speedup\", not %s", tostring(what))
  end
  return task_scores(self, outcome[what])
end

---Mean of a verdict field over the groups in which something was picked.
function Picks:mean(field)
  local have = list.filter(self, function(p) return #p.samples > 0 end)
  return mean(scores(have, function(v) return v[field] or 0 end))
end

---Standard deviation of fast(1) over the values of a group's field, e.g. "seed".
function Picks:sd_over(field)
  local values = {}
  for i, set in ipairs(list.group_by(self, function(p) return rawget(p.group, field) or 0 end)) do
    values[i] = mean(scores(set, function(v) return stats.is_fast(v, 1) and 1 or 0 end))
  end
  return #values > 1 and stats.sd(values) or 0
end

function Picks:by_task()
  local rows = {}
  for i, p in ipairs(self) do
    local best = p.samples[1]
    rows[i] = { task = p.group.task.id, n = #p.group, i = best and best.i, speedup = best and best.result.speedup or 0 }
  end
  return rows
end

-- What a script's rule picks of candidates, as samples.
local function picked_of(rule, view, mode, params, stream, cost)
  local samples = {}
  for i = 1, view.n do samples[i] = view:sample(i) end
  local cs, of = view_.candidates(samples, mode, cost)
  local picked = rule.pick(cs, params, stream)
  if view_.is_candidate(picked) then picked = { picked } end
  if type(picked) ~= "table" then
    errors.misuse("vt.select.apply", "rule '%s' returned a %s; it must return a candidate or a list of them",
      rule.name, type(picked))
  end
  if #picked == 0 then
    errors.misuse("vt.select.apply", "rule '%s' returned an empty list; it must pick at least one candidate", rule.name)
  end
  local out = {}
  for i, c in ipairs(picked) do
    out[i] = of[c] or errors.misuse("vt.select.apply",
      "rule '%s' returned something that is not one of its candidates", rule.name)
  end
  return out
end

-- The samples that a rule picks of a view.
local function run_rule(rule, view, mode, params, stream, cost)
  if view.n == 0 then return {} end
  if not rule.choose then return picked_of(rule, view, mode, params, stream, cost) end
  view.cost = cost
  local at, out = rule.choose(view, params, stream), {}
  if type(at) == "number" then return { view:sample(at) } end
  for i, place in ipairs(at) do out[i] = view:sample(place) end
  return out
end

-- The rule's parameters: as it declares them, or just what is given.
local function params_of(rule, given)
  if not rule.params then
    local values = {}
    for name, v in pairs(given) do values[name] = v end
    return closed.record("p", values, errors.keys(values))
  end
  local ok, values = pcall(params_.resolve, rule.params, given, "script")
  if not ok then errors.misuse("vt.select.apply", "vt.select.apply: rule '%s': %s", rule.name, tostring(values)) end
  return values
end

local function rule_of(op, rule)
  if type(rule) == "function" then return { name = "rule", pick = rule } end
  if type(rule) ~= "table" or type(rule.pick) ~= "function" then
    errors.misuse(op, "%s: a rule is a function or a table with name and pick", op)
  end
  if type(rule.name) ~= "string" or rule.name == "" then errors.misuse(op, "%s: a rule that is a table has a name", op) end
  return rule
end

local function new_picks(n)
  return setmetatable({ cost = setmetatable({ checks = 0, measures = 0 }, Cost), n = n, known = {} }, picks_class)
end

-- Every rule in every pool over groups that were checked: [pool][rule] -> picks. A frame is made once for all of them.
local function apply_all(all, groups, pools, params, seed)
  local out = {}
  for _, pool in ipairs(pools) do
    out[pool] = {}
    for _, rule in ipairs(all) do out[pool][rule.name] = new_picks(#groups) end
  end
  for i, g in ipairs(groups) do
    local frame = view_.frame(g)
    for _, pool in ipairs(pools) do
      for _, rule in ipairs(all) do
        local mode, picks = pool == "before_check" and pool or rule.mode or "after_check", out[pool][rule.name]
        local stream = rng.new(seed, ("select/%s/%d"):format(rule.name, i))
        picks[i] = { group = g, samples = run_rule(rule, frame:view(mode, pool), mode, params[rule], stream, picks.cost) }
      end
    end
  end
  return out
end

local apply_options = { params = "table", seed = "integer", pool = view_.pools }

---vt.select.apply(rule, groups, { params, seed, pool }) -> picks
function select_.apply(rule, groups, o)
  o = errors.options("vt.select.apply", o, apply_options)
  rule = rule_of("vt.select.apply", rule)
  local pool = o.pool or "all"
  return apply_all({ rule }, groups_.list("vt.select.apply", groups), { pool }, { [rule] = params_of(rule, o.params or {}) },
    o.seed or 42)[pool][rule.name]
end

-- The rules of a list, each once, with their parameters.
local function rules_of(op, all)
  local params, known, once = {}, {}, {}
  if type(all) ~= "table" then errors.misuse(op, "%s needs a list of rules, not a %s", op, type(all)) end
  for _, rule in ipairs(all) do
    rule = rule_of(op, rule)
    if known[rule.name] and known[rule.name] ~= rule then errors.misuse(op, "%s: two rules are called '%s'", op, rule.name) end
    if not known[rule.name] then once[#once + 1] = rule end
    known[rule.name], params[rule] = rule, params_of(rule, {})
  end
  return once, params
end

local function pools_of(op, given)
  if given == nil then return view_.pools end
  for _, pool in ipairs(given) do errors.options(op, { pool = pool }, { pool = view_.pools }) end
  return given
end

---vt.select.each(rules, groups, { seed, pools }) -> [pool][rule's name] -> picks; pools: all there are.
function select_.each(all, groups, o)
  local op = "vt.select.each"
  o = errors.options(op, o, { seed = "integer", pools = "table" })
  local once, params = rules_of(op, all)
  return apply_all(once, groups_.list(op, groups), pools_of(op, o.pools), params, o.seed or 42)
end

---vt.select.curves(rules, groups, { pools, subsets, seed }) -> [pool][rule's name] -> { { k, fast, fast_sure }, … }.
function select_.curves(all, groups, o)
  local op = "vt.select.curves"
  o = errors.options(op, o, { pools = "table", subsets = "integer", seed = "integer" })
  local once, params = rules_of(op, all)
  local function pick(rule, subset, pool, seed)
    return apply_all({ rule }, subset, { pool }, params, seed)[pool][rule.name]
  end
  return curve.of(once, groups_.list(op, groups), { pools = pools_of(op, o.pools), seed = o.seed or 42, pick = pick,
    subsets = errors.number(op, "subsets", o.subsets or 20, 1) })
end

-- What a rule is tried on before anything is paid for: samples that were never drawn, in groups of several sizes, so that
-- what works for few, or holds on to a candidate of another group, is seen.
local made_up_sizes = { 4, 1, 9, 64 }
local of_verdict = { correct = true, speedup = true, speedup_measured = true, speedup_lo = true, speedup_hi = true, is_copy = true, status = true }

---A group of samples that were never drawn: one for each table of fields, which say what is not to be made up.
function select_.made_up(list_of_fields)
  local task, group = { id = #list_of_fields, name = "made_up" }, {}
  for i, fields in ipairs(list_of_fields) do
    local code = ("  for (int i = 0; i < n; i++) y[i] = x[i] * %d;"):format(i // 2)
    local speedup, is_correct = fields.speedup or 0.5 * i, fields.correct
    if is_correct == nil then is_correct = i % 3 ~= 0 end
    group[i] = { i = i, task = task, text = code, code = code, code_sha = "sha of " .. code, tokens = { 1, 2, 3 },
      n_tokens = 2 + i, finish = "stop", seed = i, logprob = -1.0 * i, logprob_mean = -i / (2 + i), logprob_code = -0.5 * i,
      logprobs = list.vector(2 + i, -i / (2 + i)), entropy = 0.1 * i, certainty = 1.0 * i, confidence = 2.0 * i,
      confidence_tail = 1.5 * i, confidence_worst = 1.0 * i, result = { correct = is_correct, speedup = speedup,
        speedup_measured = speedup, speedup_lo = 0.8 * speedup, speedup_hi = 1.2 * speedup, is_copy = i == 1 and fields.speedup == nil,
        status = is_correct and "correct_fast" or "wrong_output" } }
    for name, v in pairs(fields) do (of_verdict[name] and group[i].result or group[i])[name] = v end
  end
  group.task = task
  return group
end

---vt.select.check(rule) -> rule: refuses, before anything is paid for, one that cannot pick of samples that are made up.
function select_.check(rule)
  local op = "vt.select.check"
  rule = rule_of(op, rule)
  local made_up = {}
  for i, n in ipairs(made_up_sizes) do
    local nothing_said = {}
    for j = 1, n do nothing_said[j] = {} end
    made_up[i] = select_.made_up(nothing_said)
  end
  local ok, e = pcall(select_.apply, rule, made_up)
  if not ok then
    local why = tostring(e):gsub("^[^\n]-:%d+: ", ""):gsub("\n.*", "")
    errors.usage("rule '%s' fails on a group of made-up samples: %s", rule.name, why)
  end
  return rule
end

---vt.select.load(file) -> the rule that a file returns, a function or a table with name and pick; named after the file where
---it has no name of its own, and tried as by vt.select.check.
function select_.load(file)
  if type(file) ~= "string" then errors.misuse("vt.select.load", "vt.select.load needs a file name, not a %s", type(file)) end
  local ok, rule = pcall(core.globals.dofile, file)
  if ok and type(rule) == "function" then rule = { name = file:match "([^/]*)%.lua$" or file, pick = rule } end
  if not ok or type(rule) ~= "table" or type(rawget(rule, "pick")) ~= "function" or type(rawget(rule, "name")) ~= "string" then
    errors.usage("the rule file %s gives no rule, which is a function or a table with name and pick: %s", file,
      ok and "it returned a " .. type(rule) or (tostring(rule):gsub("\n.*", "")))
  end
  return select_.check(rule)
end

-- ── early stopping ───────────────────────────────────────────────────────────────────────────────────────────────────

local EarlyStop = {}
local early_stop_class = closed.class("vt.EarlyStop", "early_stop", { "patience", "min_delta", "n_worse", "best_offer" },
  EarlyStop)

---vt.early_stop{ patience, min_delta }: stops after `patience` offers in a row that did not beat the best by more than
---min_delta; patience 0 never stops.
function select_.early_stop(o)
  o = errors.options("vt.early_stop", o, { patience = "integer", min_delta = "number" })
  errors.number("vt.early_stop", "patience", o.patience or 0, 0)
  errors.number("vt.early_stop", "min_delta", o.min_delta or 0, 0)
  return setmetatable({ patience = o.patience or 0, min_delta = o.min_delta or 0, n_worse = 0 }, early_stop_class)
end

function EarlyStop:offer(score, what)
  if type(score) == "table" and rawget(score, "value") then score = score.value end
  if type(score) ~= "number" then
    errors.misuse("early_stop:offer", "early_stop:offer needs a number, not a %s", type(score))
  end
  if score ~= score then errors.misuse("early_stop:offer", "early_stop:offer: the score is not a number (of no samples?)") end
  if not self.best_offer or score > self.best_offer.score + self.min_delta then
    local best = {}
    for k, v in pairs(what or {}) do best[k] = v end
    best.score = score
    closed.open_record("early_stop:best()", best, errors.keys(best))
    self.best_offer, self.n_worse = best, 0
    return "best"
  end
  self.n_worse = self.n_worse + 1
  return self.patience > 0 and self.n_worse >= self.patience and "stop" or "worse"
end

---{ score, step, snapshot, … } of the best offer.
function EarlyStop:best() return self.best_offer end

return select_
