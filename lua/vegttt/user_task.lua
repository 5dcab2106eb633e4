-- SPDX-License-Identifier: Apache-2.0
--
-- A task document from a C function of the user's and the flags that say what C does not. Missing answers are asked for
-- on a terminal; elsewhere the error names the flag.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local user_task = {}

local float_dists = { "uniform", "normal", "needle", "tiny", "constant" }

-- { name = text } of flags of the form NAME=TEXT, each naming one of the parameters that `fits`.
local function pairs_of(f, flag, fn, fits, what)
  local out = {}
  for _, text in ipairs(f[flag] or {}) do
    local name, value = text:match "^%s*([%a_][%w_]*)%s*=%s*(.-)%s*$"
    if not name or value == "" then errors.usage("--%s must be NAME=…, not '%s'", flag, text) end
    local is_known = false
    for _, p in ipairs(fn.parameters) do is_known = is_known or p.name == name and fits(p) end
    if not is_known then errors.usage("--%s: %s has no %s '%s'", flag, fn.name, what, name) end
    out[name] = value
  end
  return out
end

-- One thing that C does not say: { flag = "--size n", question, default, parse = text -> value | nil, why }. What the
-- flags gave is taken; otherwise a terminal is asked until the answer makes sense, and `answered` keeps what to give the
-- next time. Without a terminal an optional thing is its default, and for the others the error names the flag.
local function find_out(thing, given, answered)
  if given then
    local value, why = thing.parse(given)
    return value or errors.usage("%s %s", thing.flag, why)
  end
  if not core.can_ask() then
    if thing.is_optional then return thing.parse(thing.default) end
    errors.usage("%s is not known; give %s=…", thing.question, thing.flag)
  end
  while true do
    local line = core.ask(("%s%s: "):format(thing.question, thing.default and (" [%s]"):format(thing.default) or ""))
    if not line then errors.usage("%s is not known; give %s=…", thing.question, thing.flag) end
    local text = line:match "^%s*(.-)%s*$"
    if text == "" then text = thing.default or "" end
    local value, why = thing.parse(text)
    if value then
      local flag, name = thing.flag:match "^(%S+) (%S+)$"
      table.move({ flag, name .. "=" .. text }, 1, 2, #answered + 1, answered)
      return value
    end
    core.err(("  %s %s\n"):format(thing.flag:match "%S+$", why))
  end
end

local function split(text)
  local out = {}
  for part in text:gmatch "[^,]+" do out[#out + 1] = part:match "^%s*(.-)%s*$" end
  return out
end

local function is_array(p) return p.kind == "array" end

-- Int parameters that occur in a shape are sizes.
local function sizes_of(fn, arrays)
  local used = {}
  for _, a in ipairs(arrays) do
    for _, expression in ipairs(a.shape) do
      for word in expression:gmatch "[%a_][%w_]*" do used[word] = true end
    end
  end
  local sizes, others = {}, {}
  for _, p in ipairs(fn.parameters) do
    if p.kind == "int" then table.insert(used[p.name] and sizes or others, p) end
  end
  return sizes, others
end

-- An expression an entry, in terms of the int parameters.
local function shape_parser(fn)
  local known = { min = true, max = true, ceil_div = true }
  for _, p in ipairs(fn.parameters) do known[p.name] = p.kind == "int" or nil end
  return function(text)
    local shape = split(text)
    if #shape == 0 then return nil, "must be one or more sizes, like n or n,m" end
    for _, expression in ipairs(shape) do
      for word in expression:gmatch "[%a_][%w_]*" do
        if not known[word] then return nil, ("names '%s', which is no int parameter of %s"):format(word, fn.name) end
      end
    end
    return shape
  end
end

local function range_parser(text)
  local lo, hi = text:match "^(%S-):(%S+)$"
  lo, hi = tonumber(lo), tonumber(hi)
  if lo and hi and lo < hi then return { lo, hi } end
  return nil, ("must be LO:HI with LO below HI, not '%s'"):format(text)
end

-- The number of values of an integer input, which may be an index: a number, or sizes.
local function count_parser(fn)
  local parse = shape_parser(fn)
  return function(text)
    local count = text:match "^0:([^,]+)$"
    if not count or tonumber(count) and not math.tointeger(tonumber(count)) then
      return nil, ("must be 0:HI, not '%s': integers are drawn from 0 up to HI - 1, and HI may name sizes"):format(text)
    end
    local sizes, why = parse(count)
    return sizes and sizes[1], why
  end
end

-- One entry of `arrays`.
local function array_of(p, fn, known, answered, default_shape)
  local shape = find_out({ flag = "--shape " .. p.name, default = default_shape, parse = shape_parser(fn),
    question = ("the shape of %s (in terms of the int parameters)"):format(p.name) }, known.shapes[p.name], answered)
  local a = { name = p.name, role = known.inout[p.name] and "state" or p.role, dtype = p.dtype, shape = shape }
  if a.role == "out" then return a end
  local range = { flag = "--range " .. p.name, is_optional = true }
  if p.dtype == "f32" then
    range.question, range.default, range.parse = ("the values of %s, LO:HI"):format(p.name), "-1:1", range_parser
    a.dist, a.range = { table.unpack(float_dists) }, find_out(range, known.ranges[p.name], answered)
  else
    range.question, range.default, range.parse = ("the values of %s, 0:HI without HI"):format(p.name), "0:2",
      count_parser(fn)
    a.dist, a.max = { "labels" }, find_out(range, known.ranges[p.name], answered)
  end
  return a
end

local function scalar_of(p, known, answered)
  local is_int = p.kind == "int"
  local value = find_out({ flag = "--value " .. p.name, question = ("the value of %s"):format(p.name),
    parse = function(text)
      local v = tonumber(text)
      if v and (not is_int or math.tointeger(v)) then return v end
      return nil, ("must be a %s, not '%s'"):format(is_int and "whole number" or "number", text)
    end }, known.values[p.name], answered)
  return { name = p.name, type = is_int and "i32" or "f32", value = value }
end

-- Sizes of the scale on which candidates are only checked: small and odd, so that no round number can be relied on.
local function hidden_size(n, i) return math.min(n, 3 + 2 * i + n % 5) end

local function size_parser(text)
  local n = math.tointeger(tonumber(text))
  if n and n >= 1 then return n end
  return nil, ("must be a positive whole number, not '%s'"):format(text)
end

local function add_sizes(task, sizes, known, answered)
  task.sizes, task.size_order = { cpu = {}, hidden = {} }, {}
  for i, p in ipairs(sizes) do
    local n = find_out({ flag = "--size " .. p.name, parse = size_parser,
      question = ("the size %s at which it is timed (0.03 to 2 ms a call)"):format(p.name) }, known.sizes[p.name],
      answered)
    task.sizes.cpu[p.name], task.sizes.hidden[p.name] = n, hidden_size(n, i)
    task.size_order[i] = p.name
  end
end

local bytes_of = { f32 = 4, i32 = 4, i64 = 8, u8 = 1 }

-- Every input is read and every output written once; an array that is both counts once, as it fills the caches once.
local function traffic(arrays)
  local parts = {}
  for _, a in ipairs(arrays) do
    parts[#parts + 1] = ("%d * (%s)"):format(bytes_of[a.dtype], table.concat(a.shape, ") * ("))
  end
  return table.concat(parts, " + ")
end

local function outputs_of(arrays)
  for _, a in ipairs(arrays) do
    if a.role ~= "in" then return ("(%s)"):format(table.concat(a.shape, ") * (")) end
  end
end

local function inout_of(f, fn)
  local inout = {}
  for _, name in ipairs(f.inout or {}) do
    local is_known = false
    for _, p in ipairs(fn.parameters) do
      is_known = is_known or p.name == name and p.kind == "array" and p.role == "out"
    end
    if not is_known then errors.usage("--inout: %s has no output array '%s'", fn.name, name) end
    inout[name] = true
  end
  return inout
end

-- The int parameters as a shape, offered where there are one or two: with more, the likely shapes differ an array.
local function default_shape(fn)
  local ints = {}
  for _, p in ipairs(fn.parameters) do
    if p.kind == "int" then ints[#ints + 1] = p.name end
  end
  return #ints > 0 and #ints <= 2 and table.concat(ints, ",") or nil
end

---The task table of a parsed function, and the options that would have answered what was asked. f: the options of
---`vegttt optimise`.
function user_task.document(fn, f)
  local known = { shapes = pairs_of(f, "shape", fn, is_array, "array"), ranges = pairs_of(f, "range", fn, is_array,
    "array"), sizes = pairs_of(f, "size", fn, function(p) return p.kind == "int" end, "int parameter"),
    values = pairs_of(f, "value", fn, function(p) return p.kind ~= "array" end, "number"), inout = inout_of(f, fn) }
  local tolerance, answered = f.tolerance, {}
  local task = { name = fn.name, title = fn.name, level = 1, family = "user", arrays = {}, scalars = {},
    rtol = tolerance, atol = tolerance > 0 and 1e-7 or 0,
    body = fn.body, helpers = fn.helpers }
  for _, p in ipairs(fn.parameters) do
    if p.kind == "array" then
      task.arrays[#task.arrays + 1] = array_of(p, fn, known, answered, default_shape(fn))
    end
  end
  local sizes, others = sizes_of(fn, task.arrays)
  if #sizes == 0 then errors.usage("no shape names an int parameter of %s; a task needs at least one size", fn.name) end
  add_sizes(task, sizes, known, answered)
  for _, p in ipairs(fn.parameters) do
    local is_other = p.kind == "scalar"
    for _, o in ipairs(others) do is_other = is_other or o == p end
    if is_other then task.scalars[#task.scalars + 1] = scalar_of(p, known, answered) end
  end
  task.blind = { abs_inputs = "right where the function is even, or its inputs are never negative" }
  task.bytes, task.flops = traffic(task.arrays), outputs_of(task.arrays)
  task.id = 10000 + tonumber(core.sha256(fn.name .. "\0" .. fn.body):sub(1, 7), 16) % 1000000
  return task, answered
end

local function literal(v, indent)
  if type(v) == "string" then
    if not v:find "\n" then return ("%q"):format(v) end
    local level = ""
    while v:find("]" .. level .. "]", 1, true) do level = level .. "=" end
    return ("[%s[\n%s]%s]"):format(level, v, level)
  end
  if math.type(v) == "float" then return ("%.17g"):format(v) end
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for _, x in ipairs(v) do parts[#parts + 1] = literal(x, indent .. "  ") end
  local names = {}
  for k in pairs(v) do
    if type(k) == "string" then names[#names + 1] = k end
  end
  table.sort(names)
  for _, k in ipairs(names) do parts[#parts + 1] = ("%s = %s"):format(k, literal(v[k], indent .. "  ")) end
  return indent == "" and ("{\n  %s,\n}"):format(table.concat(parts, ",\n  "))
    or ("{ %s }"):format(table.concat(parts, ", "))
end

---The document as a task file, so that it can be kept, edited and checked.
function user_task.source(task)
  return "-- Made by `vegttt optimise`; check it with `vegttt task check`.\nreturn " .. literal(task, "") .. "\n"
end

return user_task
