-- SPDX-License-Identifier: Apache-2.0
--
-- A task document from a C function of the user's and the flags that say what C does not. Missing answers are asked for
-- on a terminal; elsewhere the error names the flag.
local core = require "vegttt.core"
local verb = require "vegttt.verb_common"

local user_task = {}

local float_dists = { "uniform", "normal", "needle", "tiny", "constant" }

-- { name = text } of flags of the form NAME=TEXT, each naming one of the parameters that `fits`.
local function pairs_of(f, flag, fn, fits, what)
  local out = {}
  for _, text in ipairs(f[flag] or {}) do
    local name, value = text:match "^%s*([%a_][%w_]*)%s*=%s*(.-)%s*$"
    if not name or value == "" then verb.usage("--%s must be NAME=…, not '%s'", flag, text) end
    local is_known = false
    for _, p in ipairs(fn.parameters) do is_known = is_known or p.name == name and fits(p) end
    if not is_known then verb.usage("--%s: %s has no %s '%s'", flag, fn.name, what, name) end
    out[name] = value
  end
  return out
end

-- The answer typed on the terminal, the default for an empty line, or an error that names the flag.
local function ask(question, default, flag)
  if not core.can_ask() then verb.usage("%s is not known; give %s", question, flag) end
  core.err(("%s%s: "):format(question, default and (" [%s]"):format(default) or ""))
  local line = io.read "l"
  if not line then verb.usage("%s is not known; give %s", question, flag) end
  line = line:match "^%s*(.-)%s*$"
  if line == "" and not default then verb.usage("%s is not known; give %s", question, flag) end
  return line ~= "" and line or default
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

local function range_of(p, ranges)
  local text = ranges[p.name]
  local whole = p.dtype ~= "f32"
  if not text then return whole and { 0, 2 } or { -1, 1 } end
  local lo, hi = text:match "^(%S-):(%S+)$"
  lo, hi = tonumber(lo), tonumber(hi)
  if not lo or not hi or not (lo < hi) then
    verb.usage("--range %s must be LO:HI with LO below HI, not '%s'", p.name, text)
  end
  if whole and (lo ~= 0 or not math.tointeger(hi)) then
    verb.usage("--range %s: integer inputs are drawn from 0 up to HI - 1; give 0:HI", p.name)
  end
  return { lo, hi }
end

-- One entry of `arrays`.
local function array_of(p, shapes, ranges, inout, default_shape)
  local shape = shapes[p.name] or ask(("the shape of %s (in terms of the int parameters)"):format(p.name),
    default_shape, ("--shape %s=…"):format(p.name))
  local a = { name = p.name, role = inout[p.name] and "state" or p.role, dtype = p.dtype, shape = split(shape) }
  if a.role == "out" then return a end
  local range = range_of(p, ranges)
  if p.dtype == "f32" then
    a.dist, a.range = { table.unpack(float_dists) }, range
  else
    a.dist, a.max = { "labels" }, ("%d"):format(range[2])
  end
  return a
end

local function scalar_of(p, values)
  local text = values[p.name] or ask(("the value of %s"):format(p.name), nil, ("--value %s=…"):format(p.name))
  local v = tonumber(text)
  if not v or p.kind == "int" and not math.tointeger(v) then
    verb.usage("--value %s must be a %s, not '%s'", p.name, p.kind == "int" and "whole number" or "number", text)
  end
  return { name = p.name, type = p.kind == "int" and "i32" or "f32", value = v }
end

-- Sizes of the scale on which candidates are only checked: small and odd, so that no round number can be relied on.
local function hidden_size(n, i) return math.min(n, 3 + 2 * i + n % 5) end

local function add_sizes(task, sizes, given)
  task.sizes, task.size_order = { cpu = {}, hidden = {} }, {}
  for i, p in ipairs(sizes) do
    local text = given[p.name] or ask(("the size %s at which it is timed"):format(p.name), nil,
      ("--size %s=…"):format(p.name))
    local n = math.tointeger(tonumber(text))
    if not n or n < 1 then verb.usage("--size %s must be a positive whole number, not '%s'", p.name, text) end
    task.sizes.cpu[p.name], task.sizes.hidden[p.name] = n, hidden_size(n, i)
    task.size_order[i] = p.name
  end
end

local bytes_of = { f32 = 4, i32 = 4, i64 = 8, u8 = 1 }

-- Every input is read and every output written once.
local function traffic(arrays)
  local parts = {}
  for _, a in ipairs(arrays) do
    local n = bytes_of[a.dtype] * (a.role == "state" and 2 or 1)
    parts[#parts + 1] = ("%d * (%s)"):format(n, table.concat(a.shape, ") * ("))
  end
  return table.concat(parts, " + ")
end

local function outputs_of(arrays)
  for _, a in ipairs(arrays) do
    if a.role ~= "in" then return ("(%s)"):format(table.concat(a.shape, ") * (")) end
  end
end

---The task table of a parsed function. f: the flags of `vegttt optimise`.
function user_task.document(fn, f)
  local shapes, ranges = pairs_of(f, "shape", fn, is_array, "array"), pairs_of(f, "range", fn, is_array, "array")
  local given_sizes = pairs_of(f, "size", fn, function(p) return p.kind == "int" end, "int parameter")
  local values = pairs_of(f, "value", fn, function(p) return p.kind ~= "array" end, "number")
  local inout = {}
  for _, name in ipairs(f.inout or {}) do
    local is_known = false
    for _, p in ipairs(fn.parameters) do
      is_known = is_known or p.name == name and p.kind == "array" and p.role == "out"
    end
    if not is_known then verb.usage("--inout: %s has no output array '%s'", fn.name, name) end
    inout[name] = true
  end
  local tolerance = tonumber(f.tolerance or "0")
  if not tolerance or tolerance < 0 or tolerance > 0.01 then
    verb.usage("--tolerance must be a number from 0 to 0.01, not '%s'", f.tolerance)
  end
  local ints = {}
  for _, p in ipairs(fn.parameters) do
    if p.kind == "int" then ints[#ints + 1] = p.name end
  end
  local task = { name = fn.name, title = fn.name, level = 1, family = "user", arrays = {}, scalars = {},
    rtol = tolerance, atol = tolerance > 0 and 1e-7 or 0,
    body = fn.body, helpers = fn.helpers }
  for _, p in ipairs(fn.parameters) do
    if p.kind == "array" then
      task.arrays[#task.arrays + 1] = array_of(p, shapes, ranges, inout, ints[1] and table.concat(ints, ","))
    end
  end
  local sizes, others = sizes_of(fn, task.arrays)
  if #sizes == 0 then verb.usage("no shape names an int parameter of %s; a task needs at least one size", fn.name) end
  add_sizes(task, sizes, given_sizes)
  for _, p in ipairs(fn.parameters) do
    local is_other = p.kind == "scalar"
    for _, o in ipairs(others) do is_other = is_other or o == p end
    if is_other then task.scalars[#task.scalars + 1] = scalar_of(p, values) end
  end
  task.blind = { abs_inputs = "right where the function is even, or its inputs are never negative" }
  task.bytes, task.flops = traffic(task.arrays), outputs_of(task.arrays)
  task.id = 10000 + tonumber(core.sha256(fn.name .. "\0" .. fn.body):sub(1, 7), 16) % 1000000
  return task
end

local function literal(v, indent)
  if type(v) == "string" then
    if not v:find "\n" then return ("%q"):format(v) end
    local level = ""
    while v:find("]" .. level .. "]", 1, true) do level = level .. "=" end
    return ("[%s[\n%s]%s]"):format(level, v, level)
  end
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
