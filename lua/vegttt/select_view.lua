-- SPDX-License-Identifier: Apache-2.0
--
-- What a selection rule sees of a group: its samples in a pool, without their speedups, at a bill.
--
-- A rule of a script gets candidates, objects that refuse what it may not know. The rules that are shipped are written
-- over views instead: dense columns of numbers, cut out of the columns of the whole group (its frame), since sixteen rules
-- in five pools over a hundred thousand samples are eight million looks. A view can be made of candidates too, so that
-- each shipped rule is written once and a script's rule may call it on the candidates that it has.
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
  "logprobs", "entropy", "certainty", "confidence", "confidence_tail", "confidence_worst", "online_kept", "online_tokens" }
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

-- ── frames and views ─────────────────────────────────────────────────────────────────────────────────────────────────

-- A group as columns: each field is read once a sample, however many pools and rules look at it.
local Frame = {}
Frame.__index = Frame

-- Columns that follow from the verdict, which many samples share: each is asked once.
local of_verdict = {
  speedup = function(v) return v.correct and v.speedup or 0 end,
  fast = function(v) return stats.is_fast(v) and 1 or 0 end, -- these two for curves: no rule asks for them
  fast_sure = function(v) return stats.is_sure(v) and 1 or 0 end,
  -- What a sample is: 2 a copy, 1 a near-copy, whose interval lies where copies' timings do, 0 neither; 3 more where it is wrong.
  likeness = function(v)
    local is_near = v.correct and (v.speedup_lo or 0) >= 0.97 and (v.speedup_hi or math.huge) <= 1.03
    return (v.is_copy and 2 or is_near and 1 or 0) + (v.correct and 0 or 3)
  end,
}

---The frame of a list of samples.
function view.frame(list) return setmetatable({ samples = list, n = #list, columns = {}, pools = {} }, Frame) end

-- Where a sample has no such value its place holds false: it may be of no pool that is asked.
local function column_of(samples, name)
  local column, get, known = {}, of_verdict[name], {}
  if get then
    for i, s in ipairs(samples) do
      local v = s.result
      if not v then errors.misuse("vt.select.apply", "vt.select.apply: a sample has no verdict; call vt.eval.all first") end
      local x = known[v]
      if not x then
        x = get(v)
        known[v] = x
      end
      column[i] = x
    end
    return column
  end
  local whole = name ~= "code" and core.stats.column(samples, name) -- where all have it as a field, in one go
  if whole then return whole end
  for i, s in ipairs(samples) do
    local v
    if name == "code" then v = groups_.code_of(s) else v = s[name] end
    if v == nil then v = false end
    column[i] = v
  end
  return column
end

function Frame:column(name)
  self.columns[name] = self.columns[name] or column_of(self.samples, name)
  return self.columns[name]
end

local View = {}
View.__index = View

---One value a sample of the pool. Bills go to view.cost.
function View:column(name)
  local column = self.columns[name]
  if column then return column end
  local all, at = self.frame:column(name), self.at
  column = {}
  for i = 1, #at do
    local v = all[at[i]]
    if v == false then refuse_absent(name) end
    column[i] = v
  end
  self.columns[name] = column
  return column
end

function View:sample(i) return self.frame.samples[self.at[i]] end

---The speedups of all, each billed as measured.
function View:measured()
  self.cost.measures = self.cost.measures + self.n
  return self:column "speedup"
end

---The speedup of one, billed.
function View:measure(i)
  self.cost.measures = self.cost.measures + 1
  return speed_of(self:sample(i))
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

local most_likeness = { all = 2, no_copies = 1, no_near_copies = 0, each_once = 1, before_check = 2 }

-- The places of the samples that a rule may pick; "each_once": the first of each code, without copies.
local function places_of(frame, needs_correct, pool)
  local likeness, most = frame:column "likeness", most_likeness[pool]
  local code, have, out, n = pool == "each_once" and frame:column "code", {}, {}, 0
  for i = 1, frame.n do
    local x = likeness[i]
    if x > 2 and not needs_correct then x = x - 3 end
    if x <= most and not (code and have[code[i]]) then
      n = n + 1
      out[n] = i
      if code then have[code[i]] = true end
    end
  end
  return out
end

---The view of the samples that a rule may pick from.
function Frame:view(mode, pool)
  local needs_correct = mode ~= "before_check" and pool ~= "before_check"
  local key = pool .. (needs_correct and "" or ", unchecked")
  if not self.pools[key] then
    local at = places_of(self, needs_correct, pool)
    self.pools[key] = setmetatable({ frame = self, at = at, n = #at, columns = {} }, View)
  end
  return self.pools[key]
end

return view
