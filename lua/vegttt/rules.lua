-- SPDX-License-Identifier: Apache-2.0
--
-- The selection rules that are shipped. The likelihood rules differ in which log-probability they rank, and the rest are
-- what a reviewer asks for beside them. A rule that ties returns all that tie, and scores their mean.
--
-- Each is written over a view (select_view.lua) and gives the places of what it picks. `by` says of a rule that it picks
-- the first largest (or smallest) of a column: then its success at any subset of the samples is a sum over ranks, and no
-- subset has to be drawn (select_curve.lua). `needs` says what samples must have for it, in the words of policy:need.
local closed = require "vegttt.closed"
local view_ = require "vegttt.select_view"

local rules = { by_name = {}, order = {} } -- order: in which tables show them

local Rule = closed.record_class("a selection rule", { "name", "pick", "choose", "by", "params", "mode", "needs" })

-- choose(view, p, stream) -> a place, or a list of places.
local function rule(name, choose, more)
  local r = setmetatable({ name = name, choose = choose }, Rule)
  function r.pick(cs, p, stream)
    local at, out = choose(view_.of_candidates(cs), p, stream), {}
    for i, place in ipairs(type(at) == "table" and at or { at }) do out[i] = cs[place] end
    return out
  end
  for k, v in pairs(more or {}) do r[k] = v end
  rules.by_name[name] = r
  rules.order[#rules.order + 1] = name
end

-- The first place of the largest (sign 1) or smallest (-1) value.
local function extreme(column, sign)
  local at, best = 1, sign * column[1]
  for i = 2, #column do
    local v = sign * column[i]
    if v > best then at, best = i, v end
  end
  return at
end

local function by(name, column, sign, needs)
  rule(name, function(view) return extreme(view:column(column), sign) end, { by = { column = column, sign = sign }, needs = needs })
end

-- The places of the k largest (sign 1) or smallest values, best first; equal ones in their order.
local function top(column, sign, k)
  local at, values = {}, {}
  for i = 1, #column do
    local v = sign * column[i]
    if #at < k or v > values[k] then
      local j = math.min(#at + 1, k)
      while j > 1 and values[j - 1] < v do
        at[j], values[j] = at[j - 1], values[j - 1]
        j = j - 1
      end
      at[j], values[j] = i, v
    end
  end
  return at
end

-- Of these places the one that is fastest when all of them are timed.
local function fastest(view, places)
  local best, at
  for _, i in ipairs(places) do
    local v = view:measure(i)
    if not best or v > best then best, at = v, i end
  end
  return at
end

-- k different places of n, in the order in which they are drawn.
local function some(stream, n, k)
  local moved, out = {}, {}
  for i = 1, math.min(k, n) do
    local j = stream:int(i, n)
    out[i] = moved[j] or j
    moved[j] = moved[i] or i
  end
  return out
end

-- All places whose code has the most (sign 1) or fewest equals.
local function by_equals(sign)
  return function(view)
    local codes, count, best, out = view:column "code", {}, nil, {}
    for _, code in ipairs(codes) do count[code] = (count[code] or 0) + 1 end
    for _, n in pairs(count) do best = math.max(best or -math.huge, sign * n) end
    for i, code in ipairs(codes) do
      if sign * count[code] == best then out[#out + 1] = i end
    end
    return out
  end
end

-- What is left of the log-probability after a straight line in the length, fitted to the group.
local function residuals(view)
  local x, y, n = view:column "n_tokens", view:column "logprob", view.n
  local sx, sy, sxx, sxy, out = 0, 0, 0, 0, {}
  for i = 1, n do sx, sy, sxx, sxy = sx + x[i], sy + y[i], sxx + x[i] * x[i], sxy + x[i] * y[i] end
  local spread = n * sxx - sx * sx
  local slope = spread > 0 and (n * sxy - sx * sy) / spread or 0
  for i = 1, n do out[i] = y[i] - slope * x[i] end
  return out
end

local how_many = { k = { 3, "how many are timed", min = 1 } }

rule("oracle", function(view) return extreme(view:measured(), 1) end, { by = { column = "speedup", sign = 1 } })
rule("random", function(view, _, stream) return stream:int(1, view.n) end, { by = "chance" })
rule("first", function() return 1 end)
by("confidence", "logprob", 1, "logprobs")
by("surprisal", "logprob", -1, "logprobs")
rule("surprisal_top", function(view, p) return fastest(view, top(view:column "logprob", -1, p.k)) end, { params = how_many, needs = "logprobs" })
rule("confidence_top", function(view, p) return fastest(view, top(view:column "logprob", 1, p.k)) end, { params = how_many, needs = "logprobs" })
rule("random_top", function(view, p, stream) return fastest(view, some(stream, view.n, p.k)) end, { params = how_many })
by("confidence_mean", "logprob_mean", 1, "logprobs")
by("surprisal_mean", "logprob_mean", -1, "logprobs")
by("surprisal_code", "logprob_code", -1, "logprobs")
rule("length_controlled", function(view) return extreme(residuals(view), -1) end, { needs = "logprobs" })
by("longest", "n_tokens", 1)
by("shortest", "n_tokens", -1)
rule("rarest", by_equals(-1))
by("entropy", "entropy", -1, "detail")
by("self_certainty", "certainty", 1, "detail")
by("deepconf", "confidence", 1, "detail")
by("deepconf_tail", "confidence_tail", 1, "detail")
by("deepconf_worst", "confidence_worst", 1, "detail")
rule("deepconf_online", function(view)
  local kept, confidence, at = view:column "online_kept", view:column "confidence", nil
  for i = 1, view.n do
    if kept[i] == 1 and (not at or confidence[i] > confidence[at]) then at = i end
  end
  return at or {} -- of answers that were all stopped none is left
end, { needs = "detail" })
rule("largest_cluster", by_equals(1))

return rules
