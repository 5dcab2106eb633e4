-- SPDX-License-Identifier: Apache-2.0
--
-- Helpers over plain lists. `key` is a field name or a function; ties keep the order of the list, so results never
-- depend on how a sort happens to move equal elements.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local list = {}

local function getter(op, key)
  if type(key) == "function" then return key end
  if type(key) == "string" or type(key) == "number" then return function(x) return x[key] end end
  errors.misuse(op, "%s: the key must be a field name or a function, not a %s", op, type(key))
end

local function need_list(op, t)
  if type(t) ~= "table" then errors.misuse(op, "%s: the first argument must be a list, not a %s", op, type(t)) end
end

---One level: { {a, b}, {c} } -> {a, b, c}.
function list.flatten(t)
  need_list("vt.flatten", t)
  local out = {}
  for _, x in ipairs(t) do
    for _, y in ipairs(x) do out[#out + 1] = y end
  end
  return out
end

function list.find(t, fn)
  need_list("vt.find", t)
  fn = getter("vt.find", fn)
  for i, x in ipairs(t) do
    if fn(x) then return x, i end
  end
end

function list.filter(t, fn)
  need_list("vt.filter", t)
  fn = getter("vt.filter", fn)
  local out = {}
  for _, x in ipairs(t) do
    if fn(x) then out[#out + 1] = x end
  end
  return out
end

---{ { key = …, items… }, … } in order of first appearance; also indexable by key through .by.
function list.group_by(t, key)
  need_list("vt.group_by", t)
  local get = getter("vt.group_by", key)
  local out, by = {}, {}
  for _, x in ipairs(t) do
    local k = get(x)
    if not by[k] then
      by[k] = { key = k }
      out[#out + 1] = by[k]
    end
    by[k][#by[k] + 1] = x
  end
  out.by = by
  return out
end

local function extreme(op, t, key, is_better)
  need_list(op, t)
  local get = getter(op, key)
  local best, best_value
  for _, x in ipairs(t) do
    local v = get(x)
    if v ~= nil and v == v and (best_value == nil or is_better(v, best_value)) then best, best_value = x, v end
  end
  return best, best_value
end

function list.min_by(t, key) return extreme("vt.min_by", t, key, function(a, b) return a < b end) end
function list.max_by(t, key) return extreme("vt.max_by", t, key, function(a, b) return a > b end) end

---Sorted by key, ascending; keys are computed first (they may wait), equal keys keep their order.
function list.sort_by(t, key)
  need_list("vt.sort_by", t)
  local get = getter("vt.sort_by", key)
  local rows = {}
  for i, x in ipairs(t) do
    local k = get(x)
    if k == nil or k ~= k then errors.misuse("vt.sort_by", "vt.sort_by: the key of element %d is %s", i, k == nil and "nil" or "nan") end
    rows[i] = { x = x, k = k, i = i }
  end
  table.sort(rows, function(a, b)
    if a.k == b.k then return a.i < b.i end
    return a.k < b.k
  end)
  local out = {}
  for i, r in ipairs(rows) do out[i] = r.x end
  return out
end

---The k elements of lowest key. ties = "first" (default) gives exactly k, "all" also those equal to the k-th.
function list.lowest(t, key, k, o)
  o = errors.options("vt.lowest", o, { ties = { "first", "all" } })
  local sorted = list.sort_by(t, key)
  local get = getter("vt.lowest", key)
  local out = {}
  errors.number("vt.lowest", "k", k, 0)
  for i, x in ipairs(sorted) do
    if i > k and not (o.ties == "all" and get(x) == get(sorted[k])) then break end
    out[i] = x
  end
  return out
end

---Powers of `base` up to and including n: vt.powers(2, 12) -> 1, 2, 4, 8, 12.
function list.powers(base, n)
  errors.number("vt.powers", "n", n, 1)
  if errors.number("vt.powers", "base", base) <= 1 then
    errors.misuse("vt.powers", "vt.powers: base must be above 1, not %s", base)
  end
  local out, v = {}, 1
  while v < n do
    out[#out + 1] = v
    v = v * base
  end
  out[#out + 1] = n
  return out
end

---{ lr = {a, b}, seed = {1, 2} } -> the four combinations, the alphabetically last name varying fastest.
function list.grid(axes)
  if type(axes) ~= "table" then errors.misuse("vt.grid", "vt.grid needs a table of lists, not a %s", type(axes)) end
  local cells = { {} }
  for _, name in ipairs(errors.keys(axes)) do
    local next_cells = {}
    if type(axes[name]) ~= "table" or #axes[name] == 0 then
      errors.misuse("vt.grid", "vt.grid: '%s' must be a list with a value at least", tostring(name))
    end
    for _, cell in ipairs(cells) do
      for _, v in ipairs(axes[name]) do
        local c = {}
        for k, x in pairs(cell) do c[k] = x end
        c[name] = v
        next_cells[#next_cells + 1] = c
      end
    end
    cells = next_cells
  end
  return cells
end

local max_range = 10 ^ 6

-- "4-7" -> 4, 7; nil when the item is no range.
local function range(op, item)
  local first, last = item:match "^(%d+)%-(%d+)$"
  if not first then return nil end
  first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last))
  if not first or not last or last < first or last - first >= max_range then
    errors.misuse(op, "%s: '%s' is no range of at most %d numbers, from the lower to the higher", op, item, max_range)
  end
  return first, last
end

-- The numbers that a text, a number or a list of those names; at least one.
local function parse(op, given, is_whole)
  local out = {}
  local function add(item)
    local v = tonumber(item)
    local is_finite = v and v == v and math.abs(v) < math.huge
    if is_finite and is_whole then v = math.tointeger(v) end
    if not is_finite or not v then
      errors.misuse(op, "%s: '%s' is not a %s number", op, tostring(item), is_whole and "whole" or "finite")
    end
    out[#out + 1] = v
  end
  local function read(text)
    if type(text) == "number" then return add(text) end
    if type(text) ~= "string" then errors.misuse(op, "%s needs a text such as \"1,2\", not a %s", op, type(text)) end
    for item in text:gmatch "[^,%s]+" do
      local first, last = range(op, item)
      if first then
        for i = first, last do out[#out + 1] = i end
      else
        add(item)
      end
    end
  end
  if type(given) == "table" then
    for _, item in ipairs(given) do read(item) end
  else
    read(given)
  end
  if #out == 0 then errors.misuse(op, "%s: there is no number in %s", op, type(given) == "table" and "the list" or "''") end
  return out
end

function list.numbers(text) return parse("vt.numbers", text, false) end
function list.integers(text) return parse("vt.integers", text, true) end

---Iterates over the keys of a table in sorted order.
function list.sorted_pairs(t)
  local keys, i = errors.keys(t), 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], t[keys[i]] end
  end
end

list.vector = core.vector

return list
