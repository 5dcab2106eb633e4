-- SPDX-License-Identifier: Apache-2.0
--
-- What a selection rule sees of a group: its samples in a pool, without their speedups, at a bill.
--
-- A rule of a script gets candidates, objects that refuse what it may not know. The rules that are shipped are written
-- over a view instead: dense columns of numbers, one read a sample however many rules look at it, since sixteen rules in
-- five pools over a hundred thousand samples are eight million looks. A view can be made of candidates too, so that each
-- shipped rule is written once and a script's rule may call it on the candidates that it has.
--
-- The pool says which samples may be picked at all: copies of the shown body are most of what a small model writes, and
-- the likeliest answers nearly always are copies, so a rule that only avoids them looks like a rule that finds fast code.
-- before_check is the pool of a rule that chooses before anything was compiled: wrong answers are in it.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups_ = require "vegttt.groups"
local stats = require "vegttt.stats"

local view = {}

local free = { "i", "text", "code", "code_sha", "n_tokens", "finish", "seed", "logprob", "logprob_mean", "logprob_code",
  "logprobs", "entropy", "certainty", "confidence", "confidence_tail", "confidence_worst" }
local billed = { speedup = true, speedup_measured = true, result = true, correct = true, speedup_lo = true,
  speedup_hi = true }
local of_import = { n_tokens = true, logprob = true, logprob_mean = true, logprob_code = true } -- imported ones may lack them

-- Says why a sample has no such field, where a rule needs it.
local function refuse_absent(name)
  if of_import[name] then
    errors.misuse("vt.select", "the samples have no '%s': they were imported without it; leave such rules out", name)
  end
  errors.misuse("vt.select", "a rule by %s needs the samples' detail: call vt.detail(groups) first", name)
end

local function speed_of(sample) return sample.result.correct and sample.result.speedup or 0 end

-- ── candidates ───────────────────────────────────────────────────────────────────────────────────────────────────────

local samples = setmetatable({}, { __mode = "k" }) -- candidate -> { sample, mode, cost }
local methods = {}

function methods:check()
  local s = samples[self]
  s.cost.checks = s.cost.checks + 1
  return s.sample.result.correct
end

function methods:measure()
  local s = samples[self]
  s.cost.measures = s.cost.measures + 1
  return speed_of(s.sample)
end

local Candidate = closed.class("vt.Candidate", "a candidate", free, methods)
local method_or_nothing = Candidate.__index
function Candidate:__index(key)
  local s = samples[self]
  if Candidate.fields[key] then
    local v = s.sample[key]
    if v == nil and of_import[key] then refuse_absent(key) end
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

function view.is_candidate(c) return getmetatable(c) == Candidate end

---Candidates of samples, which bill to cost; and the sample of each.
function view.candidates(list, mode, cost)
  local cs, of = {}, {}
  for i, s in ipairs(list) do
    local c = setmetatable({}, Candidate)
    samples[c] = { sample = s, mode = mode, cost = cost }
    cs[i], of[c] = c, s
  end
  return cs, of
end

-- ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local View = {}
View.__index = View

local read = {
  code = groups_.code_of,
  speedup = speed_of,
  fast = function(s) return stats.is_fast(s.result) and 1 or 0 end, -- these two for curves: no rule asks for them
  fast_sure = function(s) return stats.is_sure(s.result) and 1 or 0 end,
}

---The view of a list of samples; the columns that were asked for stay with it. Bills go to view.cost.
function view.of(list) return setmetatable({ samples = list, n = #list, columns = {} }, View) end

---One value a sample.
function View:column(name)
  local column = self.columns[name]
  if column then return column end
  local get = read[name]
  column = not get and core.stats.column(self.samples, name) -- where all have it as a field, in one go
  if not column then
    column = {}
    for i, s in ipairs(self.samples) do
      local v
      if get then v = get(s) else v = s[name] end
      if v == nil then refuse_absent(name) end
      column[i] = v
    end
  end
  self.columns[name] = column
  return column
end

---The speedups of all, each billed as measured.
function View:measured()
  self.cost.measures = self.cost.measures + self.n
  return self:column "speedup"
end

---The speedup of one, billed.
function View:measure(i)
  self.cost.measures = self.cost.measures + 1
  return speed_of(self.samples[i])
end

-- The same over candidates, which bill by themselves.
local OfCandidates = {}
OfCandidates.__index = OfCandidates

function OfCandidates:column(name)
  local column = {}
  for i, c in ipairs(self.cs) do
    local v
    if name == "code" then v = c.code_sha or c.text else v = c[name] end
    if v == nil then refuse_absent(name) end
    column[i] = v
  end
  return column
end

function OfCandidates:measured()
  local column = {}
  for i, c in ipairs(self.cs) do column[i] = c:measure() end
  return column
end

function OfCandidates:measure(i) return self.cs[i]:measure() end

function view.of_candidates(cs) return setmetatable({ cs = cs, n = #cs }, OfCandidates) end

-- ── pools ────────────────────────────────────────────────────────────────────────────────────────────────────────────

view.pools = { "all", "no_copies", "no_near_copies", "each_once", "before_check" }

-- A near-copy is one whose interval lies where copies' timings do.
local function is_near_copy(v)
  return v.is_copy or v.correct and (v.speedup_lo or 0) >= 0.97 and (v.speedup_hi or math.huge) <= 1.03
end

local takes = {
  all = function() return true end,
  no_copies = function(v) return not v.is_copy end,
  no_near_copies = function(v) return not is_near_copy(v) end,
  each_once = function(v) return not v.is_copy end,
}
takes.before_check = takes.all

---The samples of a group that a rule may pick from; "each_once": the first of each code, without copies.
function view.pool(group, mode, pool)
  local out, have, take = {}, {}, takes[pool]
  local needs_correct, is_once = mode ~= "before_check" and pool ~= "before_check", pool == "each_once"
  for _, s in ipairs(group) do
    local v = s.result
    if not v then errors.misuse("vt.select.apply", "vt.select.apply: a sample has no verdict; call vt.eval.all first") end
    if (not needs_correct or v.correct) and take(v) then
      local code = is_once and groups_.code_of(s)
      if not (code and have[code]) then
        out[#out + 1] = s
        if code then have[code] = true end
      end
    end
  end
  return out
end

return view
