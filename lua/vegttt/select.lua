-- SPDX-License-Identifier: Apache-2.0
--
-- Selection: rules that pick one sample of a group, from what a rule may know, at a cost that computes itself.
--
-- A rule sees candidates, not samples: text, length, log-probabilities. Reading `speedup` or `result` raises;
-- c:measure() returns a speedup and is billed to the rule, c:check() whether the code is correct. Rules themselves are in
-- rules.lua; early_stop is the selection rule over steps.
--
-- The pool says which samples may be picked at all: copies of the shown body are most of what a small model writes, and
-- the likeliest answers nearly always are copies, so a rule that only avoids them looks like a rule that finds fast code.
-- The number of groups stays the same in every pool: one in which nothing is left fails.
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"
local groups_ = require "vegttt.groups"
local list = require "vegttt.list"
local params_ = require "vegttt.params"
local rng = require "vegttt.rng"
local rules = require "vegttt.rules"
local stats = require "vegttt.stats"

local select_ = { rules = rules.by_name, order = rules.order }

local free = { "i", "text", "code", "code_sha", "n_tokens", "finish", "seed", "logprob", "logprob_mean", "logprob_code",
  "logprobs", "entropy", "certainty", "confidence", "confidence_tail", "confidence_worst" }
local billed = { speedup = true, speedup_measured = true, result = true, correct = true, speedup_lo = true,
  speedup_hi = true }

local may_be_absent = { n_tokens = true, logprob = true, logprob_mean = true, logprob_code = true } -- of imported samples

local samples = setmetatable({}, { __mode = "k" }) -- candidate -> sample
local methods = {}

function methods:check()
  local s = samples[self]
  s.cost.checks = s.cost.checks + 1
  return s.sample.result.correct
end

function methods:measure()
  local s = samples[self]
  s.cost.measures = s.cost.measures + 1
  return s.sample.result.correct and s.sample.result.speedup or 0
end

local Candidate = closed.class("vt.Candidate", "a candidate", free, methods)
local method_or_nothing = Candidate.__index
function Candidate:__index(key)
  local s = samples[self]
  if Candidate.fields[key] then
    local v = s.sample[key]
    if v == nil and may_be_absent[key] then
      errors.misuse("vt.select", "the samples have no '%s': they were imported without it; leave such rules out", key)
    end
    return v
  end
  if key == "correct" and s.mode == "after_check" then return true end
  if billed[key] then
    errors.misuse("vt.select",
      "a selection rule cannot read '%s'; call c:measure() or c:check(), which the rule is billed for", key)
  end
  return method_or_nothing(self, key)
end
function Candidate.__newindex() errors.misuse("vt.select", "candidates do not change") end

local function candidate(sample, mode, cost)
  local c = setmetatable({}, Candidate)
  samples[c] = { sample = sample, mode = mode, cost = cost }
  return c
end

local Picks = {}
local Cost = closed.record_class("picks.cost", { "checks", "measures" })
local picks_class = closed.class("vt.Picks", "picks", { "cost", "n" }, Picks)

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

---selected_fast_p of the papers, interval over tasks.
function Picks:fast(p)
  p = errors.number("picks:fast", "p", p or 1, 0)
  return stats.mean_ci(task_scores(self, function(v) return stats.is_fast(v, p) and 1 or 0 end))
end

function Picks:fast_sure(p)
  p = errors.number("picks:fast_sure", "p", p or 1, 0)
  return stats.mean_ci(task_scores(self, function(v) return stats.is_sure(v, p) and 1 or 0 end))
end

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

-- Whether a verdict's sample is in a pool. A near-copy is one whose interval lies where copies' timings do.
local in_pool = {
  all = function() return true end,
  no_copies = function(v) return not v.is_copy end,
  no_near_copies = function(v)
    return not (v.is_copy or v.correct and (v.speedup_lo or 0) >= 0.97 and (v.speedup_hi or math.huge) <= 1.03)
  end,
}

-- The samples of a group that a rule may pick from; distinct: the first of each code.
local function pool_of(group, mode, pool, is_distinct)
  local out, have = {}, {}
  for _, s in ipairs(group) do
    if not s.result then
      errors.misuse("vt.select.apply", "vt.select.apply: a sample has no verdict; call vt.eval.all first")
    end
    local code = groups_.code_of(s)
    local is_in = (mode == "before_check" or s.result.correct) and pool(s.result)
    if is_in and not (is_distinct and have[code]) then
      out[#out + 1], have[code] = s, true
    end
  end
  return out
end

local function run_rule(rule, group, params, stream, cost, pool, is_distinct)
  local mode = rule.mode or "after_check"
  local cs, of = {}, {}
  for i, s in ipairs(pool_of(group, mode, pool, is_distinct)) do
    cs[i] = candidate(s, mode, cost)
    of[cs[i]] = s
  end
  if #cs == 0 then return {} end
  local picked = rule.pick(cs, params, stream)
  if getmetatable(picked) == Candidate then picked = { picked } end
  if type(picked) ~= "table" then
    errors.misuse("vt.select.apply", "rule '%s' returned a %s; it must return a candidate or a list of them",
      rule.name, type(picked))
  end
  local out = {}
  if #picked == 0 then
    errors.misuse("vt.select.apply", "rule '%s' returned an empty list; it must pick at least one candidate", rule.name)
  end
  for i, c in ipairs(picked) do
    out[i] = of[c] or errors.misuse("vt.select.apply",
      "rule '%s' returned something that is not one of its candidates", rule.name)
  end
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
  return rule
end

local apply_options = { params = "table", seed = "integer", pool = { "all", "no_copies", "no_near_copies" },
  distinct = "boolean" }

---vt.select.apply(rule, groups, { params, seed, pool, distinct }) -> picks
function select_.apply(rule, groups, o)
  o = errors.options("vt.select.apply", o, apply_options)
  rule = rule_of("vt.select.apply", rule)
  groups = groups_.list("vt.select.apply", groups)
  local params = params_of(rule, o.params or {})
  local picks = setmetatable({ cost = setmetatable({ checks = 0, measures = 0 }, Cost), n = #groups }, picks_class)
  for i, g in ipairs(groups) do
    local stream = rng.new(o.seed or 42, ("select/%s/%d"):format(rule.name, i))
    picks[i] = { group = g, samples = run_rule(rule, g, params, stream, picks.cost, in_pool[o.pool or "all"],
      o.distinct) }
  end
  return picks
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
