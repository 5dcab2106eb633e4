-- SPDX-License-Identifier: Apache-2.0
--
-- The selection rules that are shipped. Each sees only what a candidate shows (select.lua); the likelihood rules differ
-- in which log-probability they rank, and the rest are what a reviewer asks for beside them. A rule that ties returns
-- all that tie, and scores their mean.
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"
local list = require "vegttt.list"

local rules = { by_name = {}, order = {} } -- order: in which tables show them

local Rule = closed.record_class("a selection rule", { "name", "pick", "params", "mode", "needs_detail" })

local function rule(name, pick, more)
  local r = setmetatable({ name = name, pick = pick }, Rule)
  for k, v in pairs(more or {}) do r[k] = v end
  rules.by_name[name] = r
  rules.order[#rules.order + 1] = name
end

local function measured(cs) return list.max_by(cs, function(c) return c:measure() end) end

-- All candidates at which key is largest (sign 1) or smallest (-1).
local function extremes(cs, key, sign)
  local best, out = nil, {}
  for _, c in ipairs(cs) do
    local v = sign * key(c)
    if best == nil or v > best then best, out = v, {} end
    if v == best then out[#out + 1] = c end
  end
  return out
end

-- How many candidates have the same code.
local function code_counts(cs)
  local n = {}
  for _, c in ipairs(cs) do
    local code = c.code_sha or c.text
    n[code] = (n[code] or 0) + 1
  end
  return function(c) return n[c.code_sha or c.text] end
end

-- What is left of the log-probability after a straight line in the length, fitted to the group.
local function residuals(cs)
  local n, sx, sy, sxx, sxy = #cs, 0, 0, 0, 0
  for _, c in ipairs(cs) do
    local x, y = c.n_tokens, c.logprob
    sx, sy, sxx, sxy = sx + x, sy + y, sxx + x * x, sxy + x * y
  end
  local spread = n * sxx - sx * sx
  local slope = spread > 0 and (n * sxy - sx * sy) / spread or 0
  return function(c) return c.logprob - slope * c.n_tokens end
end

-- A field that vt.detail sets.
local function detail(name)
  return function(c)
    return c[name] or errors.misuse("vt.select", "a rule by %s needs the samples' detail: call vt.detail(groups) first", name)
  end
end

local how_many = { k = { 3, "how many are timed", min = 1 } }

rule("oracle", measured)
rule("random", function(cs, _, stream) return stream:pick(cs) end)
rule("first", function(cs) return cs[1] end)
rule("confidence", function(cs) return list.max_by(cs, "logprob") end)
rule("surprisal", function(cs) return list.min_by(cs, "logprob") end)
rule("surprisal_top", function(cs, p) return measured(list.lowest(cs, "logprob", p.k)) end, { params = how_many })
rule("confidence_top", function(cs, p)
  return measured(list.lowest(cs, function(c) return -c.logprob end, p.k))
end, { params = how_many })
rule("random_top", function(cs, p, stream)
  local shuffled = stream:shuffle(cs)
  return measured(table.move(shuffled, 1, math.min(p.k, #shuffled), 1, {}))
end, { params = how_many })
rule("confidence_mean", function(cs) return list.max_by(cs, "logprob_mean") end)
rule("surprisal_mean", function(cs) return list.min_by(cs, "logprob_mean") end)
rule("surprisal_code", function(cs) return list.min_by(cs, "logprob_code") end)
rule("length_controlled", function(cs) return list.min_by(cs, residuals(cs)) end)
rule("longest", function(cs) return list.max_by(cs, "n_tokens") end)
rule("shortest", function(cs) return list.min_by(cs, "n_tokens") end)
rule("rarest", function(cs) return extremes(cs, code_counts(cs), -1) end)
rule("entropy", function(cs) return list.min_by(cs, detail "entropy") end, { needs_detail = true })
rule("self_certainty", function(cs) return list.max_by(cs, detail "certainty") end, { needs_detail = true })
rule("deepconf", function(cs) return list.max_by(cs, detail "confidence") end, { needs_detail = true })
rule("deepconf_tail", function(cs) return list.max_by(cs, detail "confidence_tail") end, { needs_detail = true })
rule("deepconf_worst", function(cs) return list.max_by(cs, detail "confidence_worst") end, { needs_detail = true })
rule("largest_cluster", function(cs) return extremes(cs, code_counts(cs), 1) end)

return rules
