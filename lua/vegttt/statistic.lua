-- SPDX-License-Identifier: Apache-2.0
--
-- What every function of vt.stats gives and takes. A result says its value, interval, how many units and how many
-- different values there were, ties, zeros, the method, p and the smallest p that such data could have given. What is
-- not known is nil: no interval is claimed for the mean of fewer than eight units, since none that is in use holds its
-- level there. Numbers that are taken must be finite: a NaN that slips into a rank becomes a finding.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local text = require "vegttt.text"

local statistic = { min_units = 8, seed = 20260101 }

local Result = closed.class("vt.Result", "a statistic", { "value", "lo", "hi", "sd", "n", "n_samples", "n_distinct",
  "ties", "zeros", "p", "p_min", "bound", "method", "unit", "wins", "losses" })

local function number(v) return text.number(v, 4) end

function Result:__tostring()
  local parts = { (self.bound and self.bound .. " " or "") .. number(self.value) }
  if self.lo and self.lo == self.lo then
    parts[1] = ("%s [%s, %s]"):format(parts[1], number(self.lo), number(self.hi))
  end
  parts[#parts + 1] = ("n = %d"):format(self.n)
  for _, name in ipairs { "n_distinct", "ties", "zeros" } do
    if self[name] and (name == "n_distinct" and self[name] ~= self.n or name ~= "n_distinct" and self[name] > 0) then
      parts[#parts + 1] = ("%s %d"):format(name == "n_distinct" and "distinct" or name, self[name])
    end
  end
  if self.p then
    parts[#parts + 1] = ("p = %s"):format(text.number(self.p, 3))
    if self.p_min then parts[#parts] = parts[#parts] .. (" (at least %s)"):format(text.number(self.p_min, 3)) end
  end
  return table.concat(parts, ", ")
end

function statistic.new(t)
  t.unit = t.unit or "task"
  return setmetatable(t, Result)
end

function statistic.is(v) return getmetatable(v) == Result end

---A list or a vector as an array of finite numbers, at least so many.
function statistic.numbers(op, x, least)
  if type(x) ~= "table" and not core.is_vector(x) then
    errors.misuse(op, "%s needs a list of numbers, not a %s", op, type(x))
  end
  local out = {}
  for i = 1, #x do out[i] = errors.number(op, "value " .. i, x[i]) end
  if #out < (least or 0) then errors.misuse(op, "%s needs at least %d values, not %d", op, least, #out) end
  return out
end

---x and y as arrays of equal length.
function statistic.pairs(op, x, y, least)
  x, y = statistic.numbers(op, x), statistic.numbers(op, y)
  if #x ~= #y then errors.misuse(op, "%s: %d and %d values are no pairs", op, #x, #y) end
  return statistic.numbers(op, x, least), y
end

---Differences of pairs, or of x itself when there is no y.
function statistic.differences(op, x, y)
  if y == nil then return statistic.numbers(op, x, 1) end
  x, y = statistic.pairs(op, x, y, 1)
  local d = {}
  for i = 1, #x do d[i] = x[i] - y[i] end
  return d
end

---A count: a whole number from `least` (0) to `most`.
function statistic.count(op, name, v, least, most)
  return math.tointeger(errors.number(op, name, v, least or 0, most or 10 ^ 9, true))
end

---A ratio above which a sample counts as fast.
function statistic.threshold(op, p) return p == nil and 1 or errors.number(op, "p", p, 0) end

---The options that intervals share: level in (0, 1), draws at least 1.
function statistic.check(op, o)
  if o.level and not (o.level > 0 and o.level < 1) then
    errors.misuse(op, "%s: level must be a number between 0 and 1, as 0.95 is, not %s", op, tostring(o.level))
  end
  for _, name in ipairs { "n", "bootstrap" } do
    if o[name] then statistic.count(op, "the number of draws", o[name], 1, 10 ^ 7) end
  end
  return o
end

function statistic.distinct(x)
  local have, n = {}, 0
  for _, v in ipairs(x) do
    if not have[v] then
      have[v] = true
      n = n + 1
    end
  end
  return n
end

---r without its interval when it has too few units for one, which its method then says.
function statistic.claim(r, n_units)
  if (n_units or r.n) < statistic.min_units then
    r.lo, r.hi = nil, nil
    r.method = ("%s; no interval below %d %ss"):format(r.method, statistic.min_units, r.unit or "task")
  elseif not r.lo then
    r.method = r.method .. "; values without spread have no interval"
  end
  return r
end

return statistic
