-- SPDX-License-Identifier: Apache-2.0
--
-- A task document from a C function of the user's and the flags that say what C does not: shapes, sizes, ranges. Missing
-- answers are asked for on a terminal until they make sense; elsewhere the error names the flag.
--
-- The document holds the user's file as it is (include/vegttt/task.h, `unit`) and a function behind it, the entry, that
-- takes what every task's function takes, arrays and sizes, and calls the user's function with what that wants: sizes
-- of its own integer types, values through memory that the compiler cannot see through, global variables set before
-- and read after.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local user_task = {}

-- The first is what is timed. Any number, or numbers of a range.
local float_dists = { "signed", "normal", "needle", "tiny", "constant", "wide" }
local ranged_dists = { "uniform", "normal", "needle", "tiny", "constant" }
local answers = { "zeros", "single" } -- for floats of which something is told in integers: equal, sorted, found
local int_dists = { "span", "ends", "sparse", "small", "zeros", "single" }
local c_names = { f32 = "float", f64 = "double", i8 = "signed char", i16 = "short", i32 = "int", i64 = "long long",
  u8 = "unsigned char", u16 = "unsigned short", u32 = "unsigned", u64 = "unsigned long long" }
local max_arrays = 12 -- of a task
local bytes_of = { u8 = 1, i8 = 1, u16 = 2, i16 = 2, u32 = 4, i32 = 4, f32 = 4, u64 = 8, i64 = 8, f64 = 8 }
---What `vegttt optimise` compiles with while it searches.
user_task.our_flags = { "-O3", "-march=native", "-fopenmp-simd" }

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

-- The words of an expression that are names.
local function names_in(expression)
  local out = {}
  for word in expression:gmatch "[%a_][%w_]*" do out[#out + 1] = word end
  return out
end

local functions = { min = true, max = true, ceil_div = true }

-- An expression an entry, in terms of the integer parameters; `derived` are those that are not sizes of the task, as
-- they are written with those that are.
local function shape_parser(fn, derived)
  local known = {}
  for _, p in ipairs(fn.parameters) do known[p.name] = p.kind == "int" or nil end
  return function(text)
    local shape = split(text)
    if #shape == 0 then return nil, "must be one or more sizes, like n or n,m" end
    for i, expression in ipairs(shape) do
      for _, word in ipairs(names_in(expression)) do
        if not known[word] and not functions[word] then
          return nil, ("names '%s', which is no integer parameter of %s"):format(word, fn.name)
        end
      end
      shape[i] = expression:gsub("[%a_][%w_]*", function(word) return derived[word] and ("(%s)"):format(derived[word]) end)
    end
    return shape
  end
end

-- Nothing said: any number, or every value of the type.
local function float_range(text)
  if text == "any" then return {} end
  local lo, hi = text:match "^(%S-):(%S+)$"
  lo, hi = tonumber(lo), tonumber(hi)
  if lo and hi and lo < hi then return { range = { lo, hi } } end
  return nil, ("must be LO:HI with LO below HI, or any, not '%s'"):format(text)
end

-- Integers: LO:HI with both ends, as people write 0:255; or 0:EXPR with sizes, for an index, which stops before it.
local function int_range(fn, derived, dtype)
  local parse = shape_parser(fn, derived)
  local bits = bytes_of[dtype] * 8
  local least = dtype:sub(1, 1) == "u" and 0 or -2 ^ (bits - 1)
  local most = dtype:sub(1, 1) == "u" and 2 ^ bits - 1 or 2 ^ (bits - 1) - 1
  return function(text)
    if text == "any" then return {} end
    local lo, hi = text:match "^%s*([%-%d]+)%s*:%s*(.-)%s*$"
    local from, to = math.tointeger(tonumber(lo)), math.tointeger(tonumber(hi))
    if from and to then
      if from < to and from >= least and to <= most then return { range = { from, to } } end
      return nil, ("must be LO:HI with LO below HI, both of which %s can hold, not '%s'"):format(c_names[dtype], text)
    end
    local sizes, why
    if from == 0 and not tonumber(hi) and not hi:find "," then
      sizes, why = parse(hi)
      if sizes then return { max = sizes[1] } end
    end
    return nil, why or ("must be LO:HI in whole numbers, both included, or 0:SIZE for an index, not '%s'"):format(text)
  end
end

-- What numbers nobody gave a range for are drawn from, after what the function stands (defined_ranges.lua).
local function usual_range(p, limits)
  if p.is_bool then return "0:1" end
  if p.dtype:sub(1, 1) == "f" then return limits.floats or "any" end
  local bits = bytes_of[p.dtype] * 8 - (p.dtype:sub(1, 1) == "u" and 0 or 1)
  if not limits.bits or limits.bits >= bits then return "any" end
  return ("%d:%d"):format(p.dtype:sub(1, 1) == "u" and 0 or -(1 << limits.bits), (1 << limits.bits) - 1)
end

-- How the elements of an input are drawn. Before it is known which arrays are inputs, only constant ones are asked for.
local function set_inputs(a, p, fn, known, derived, answered)
  local is_float = p.dtype == "f32" or p.dtype == "f64"
  local range = { flag = "--range " .. p.name, is_optional = true, default = usual_range(p, known.limits),
    question = ("the values of %s, LO:HI or any"):format(p.name),
    parse = is_float and float_range or int_range(fn, derived, p.dtype) }
  local found = find_out(range, known.ranges[p.name] or p.role ~= "in" and not known.has_roles and range.default, answered)
  local dists = found.max and { "labels" } or not is_float and int_dists or found.range and ranged_dists or float_dists
  a.dist, a.range, a.max = { table.unpack(dists) }, found.range, found.max
  if is_float and known.tells_integers then table.move(answers, 1, #answers, #a.dist + 1, a.dist) end
end

local function array_of(p, fn, known, derived, answered)
  local shape
  if p.is_global then
    shape = { tostring(p.n) }
  else
    shape = find_out({ flag = "--shape " .. p.name, default = known.default_shape, parse = shape_parser(fn, derived),
      question = ("the shape of %s (in terms of the integer parameters)"):format(p.name) }, known.shapes[p.name], answered)
  end
  if p.inner > 1 and (#shape == 1 or shape[#shape] ~= tostring(p.inner)) then
    shape = table.move({ tostring(p.inner) }, 1, 1, #shape + 1, table.move(shape, 1, #shape, 1, {})) -- of rows
  end
  local a = { name = p.name, role = known.inout[p.name] and "state" or p.role, dtype = p.dtype, shape = shape }
  if a.role ~= "out" then set_inputs(a, p, fn, known, derived, answered) end
  if a.role ~= "in" and p.dtype:sub(1, 1) ~= "f" then a.compare = "bound" end
  return a
end

local function value_of(p, known, answered)
  local is_int = p.kind == "int"
  return find_out({ flag = "--value " .. p.name, question = ("the value of %s"):format(p.name),
    parse = function(text)
      local v = tonumber(text)
      if p.is_bool then v = ({ ["true"] = 1, ["false"] = 0 })[text] or v end
      if v and v == v and math.abs(v) < math.huge and (not is_int or math.tointeger(v)) then
        return is_int and math.tointeger(v) or v + 0.0
      end
      return nil, ("must be a %s, not '%s'"):format(is_int and "whole number" or "number", text)
    end }, known.values[p.name], answered)
end

local function size_parser(text)
  local n = math.tointeger(tonumber(text))
  if n and n >= 1 then return n end
  return nil, ("must be a positive whole number, not '%s'"):format(text)
end

-- The sizes at which a kernel must be right: from LO to HI, around the one that is timed. Where nobody says: from 0 to
-- half as much again.
local function size_range(name, n, given)
  if not given then return { 0, n + (n + 1) // 2 } end
  local lo, hi = given:match "^%s*(%d+)%s*:%s*(%d+)%s*$"
  lo, hi = math.tointeger(tonumber(lo)), math.tointeger(tonumber(hi))
  if not lo or lo > n or hi < n then
    errors.usage("--range %s must be LO:HI with the size that is timed, %d, between them, not '%s'", name, n, given)
  end
  return { lo, hi }
end

-- Sizes that follow from others: --size lda=n+8. { name = expression }
local function derived_sizes(fn, sizes)
  local out = {}
  for name, text in pairs(sizes) do
    local is_known = { min = true, max = true, ceil_div = true }
    for _, p in ipairs(fn.parameters) do is_known[p.name] = p.kind == "int" and p.name ~= name or nil end
    local names = names_in(text)
    for _, word in ipairs(names) do
      if not is_known[word] then
        errors.usage("--size %s must be a positive whole number, or follow from other integer parameters of %s, not '%s'",
          name, fn.name, text)
      end
    end
    if #names > 0 then out[name] = text end
  end
  for name, text in pairs(out) do
    for _, word in ipairs(names_in(text)) do
      if out[word] then errors.usage("--size %s follows from %s, which follows from others itself; give one a number", name, word) end
    end
  end
  return out
end

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
      is_known = is_known or p.name == name and p.kind == "array" and p.role ~= "in"
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

-- ── the entry ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- A number that is drawn, as an input of one element. What is timed is the value that was given, if one was. Where no
-- range is given: a float from half of its value to twice, a bool either way.
local function drawn_value(p, fn, known, value, answered)
  local given = known.ranges[p.name]
  if not given and (known.limits.is_fixed or not value) then return nil end
  local range
  if given then
    range = find_out({ flag = "--range " .. p.name, parse = p.kind == "scalar" and float_range or int_range(fn, {}, p.dtype) },
      given, answered).range
    if not range then errors.usage("--range %s must be LO:HI for a single number", p.name) end
  elseif p.is_bool then
    range = { 0, 1 }
  elseif p.kind == "scalar" and value ~= 0 then
    range = { math.min(value / 2, value * 2), math.max(value / 2, value * 2) }
  else
    return nil
  end
  if value and (value < range[1] or value > range[2]) then
    errors.usage("--value %s is outside its --range", p.name)
  end
  local dists = p.kind == "scalar" and { "uniform" } or { "span" }
  if value then table.insert(dists, 1, "value") end
  return { name = p.name .. "_drawn", role = "in", dtype = p.dtype, shape = { "1" }, dist = dists, range = range,
    value = value }
end

-- A value that the compiler must take from memory, as it would from a caller.
local function value_text(p, v)
  local literal = p.kind == "int" and ("%d"):format(v) .. (math.abs(v) > 2147483647 and "ll" or "")
    or ("%.17g"):format(v):gsub("^(%-?%d+)$", "%1.0") .. (p.dtype == "f32" and "f" or "")
  return ("static %s vt_value_%s(void)\n{\n    static const %s vt_v = %s;\n    const %s *vt_p = &vt_v;\n"
    .. "    __asm__(\"\" : \"+r\"(vt_p));\n    return *vt_p;\n}\n"):format(c_names[p.dtype], p.name, c_names[p.dtype],
    literal, c_names[p.dtype])
end

local function entry_text(fn, task, values, derived)
  local values_text, parameters, arguments, before, after = {}, {}, {}, {}, {}
  local array_at = {}
  for i, a in ipairs(task.arrays) do
    array_at[a.name] = ("vt_a%d"):format(i)
    parameters[i] = ("%s *vt_a%d"):format(c_names[a.dtype], i)
  end
  for _, name in ipairs(task.size_order) do parameters[#parameters + 1] = "int " .. name end
  for i, p in ipairs(fn.parameters) do
    local text
    if p.kind == "array" then
      text = array_at[p.name]
    elseif array_at[p.name .. "_drawn"] then
      text = "*" .. array_at[p.name .. "_drawn"]
    elseif values[p.name] then
      values_text[#values_text + 1] = value_text(p, values[p.name])
      text = ("vt_value_%s()"):format(p.name)
    else
      text = derived[p.name] and ("(%s)"):format(derived[p.name]) or p.name
    end
    arguments[i] = ("(%s)%s"):format(p.text, text)
  end
  for _, g in ipairs(fn.globals) do
    local place = ("(void *)&%s"):format(g.name)
    before[#before + 1] = ("    __builtin_memcpy(%s, %s, sizeof %s);\n"):format(place, array_at[g.name], g.name)
    for _, a in ipairs(task.arrays) do
      if a.name == g.name and a.role ~= "in" then
        after[#after + 1] = ("    __builtin_memcpy(%s, %s, sizeof %s);\n"):format(array_at[g.name], place, g.name)
      end
    end
  end
  local helpers = {}
  for word, text in pairs { min = "(a < b ? a : b)", max = "(a > b ? a : b)", ceil_div = "((a + b - 1) / b)" } do
    for _, expression in pairs(derived) do
      if (" " .. expression):find("%f[%w_]" .. word .. "%f[^%w_]") then
        helpers[#helpers + 1] = ("static int vt_%s(int a, int b)\n{\n    return %s;\n}\n#define %s vt_%s\n"):format(word,
          text, word, word)
        break
      end
    end
  end
  table.sort(helpers)
  local call = ("vt_function(%s)"):format(table.concat(arguments, ", "))
  if task.unit.result then call = ("*%s = %s"):format(array_at[task.unit.result], call) end
  return ("#ifndef __cplusplus\n_Static_assert(__builtin_types_compatible_p(__typeof__(%s), %s),\n               "
    .. "\"%s must keep its prototype, %s\");\n#endif\n%s%s"
    .. "__attribute__((visibility(\"default\"))) void vt_entry(%s)\n{\n"
    .. "    __typeof__(%s) *vt_function = %s;\n    __asm__(\"\" : \"+r\"(vt_function));\n%s    %s;\n%s}\n"):format(
    fn.name, fn.type, fn.name, fn.type, table.concat(values_text), table.concat(helpers), table.concat(parameters, ", "),
    fn.name, fn.name, table.concat(before), call, table.concat(after))
end

local function name_of_result(fn)
  for _, name in ipairs { "result", "returned", "value_returned" } do
    local is_taken = name == fn.name
    for _, p in ipairs(fn.parameters) do is_taken = is_taken or p.name == name end
    if not is_taken then return name end
  end
end

-- Is every output a float? Then the truth may be computed by rule; else it is what eight runs agree on.
local function truth_of(task)
  for _, a in ipairs(task.arrays) do
    if a.role ~= "in" and a.dtype ~= "f32" and a.dtype ~= "f64" then return "spread" end
  end
  return "text"
end

local function check_output(arrays, fn)
  for _, a in ipairs(arrays) do
    if a.role and a.role ~= "in" then return end
  end
  errors.usage("%s has no output: it returns nothing, and changes nothing that its parameters point to", fn.name)
end

---What the options and the answers to questions say about a function; what they are is asked for once.
---task, answered, single numbers that keep their value by name. f: the options of `vegttt optimise`; roles: { name = role }; limits: how wide numbers are drawn for
---which nobody gave a range, { floats = "-1:1" or nil, bits = of integers or nil, is_fixed = single numbers are not drawn }.
function user_task.document(fn, f, roles, limits)
  local is_number = function(p) return p.kind ~= "array" end
  local known = { shapes = pairs_of(f, "shape", fn, is_array, "array"), sizes = pairs_of(f, "size", fn,
    function(p) return p.kind == "int" end, "integer parameter"), values = pairs_of(f, "value", fn, is_number, "number"),
    inout = inout_of(f, fn), default_shape = default_shape(fn), has_roles = roles ~= nil, limits = limits or {} }
  local with_globals = { name = fn.name, parameters = table.move(fn.globals, 1, #fn.globals, #fn.parameters + 1,
    table.move(fn.parameters, 1, #fn.parameters, 1, {})) }
  if not fn.result then check_output(with_globals.parameters, fn) end
  known.ranges = pairs_of(f, "range", with_globals, function() return true end, "array, size or number")
  local derived = derived_sizes(fn, known.sizes)
  local in_shapes = setmetatable({}, { __index = derived })
  for _, p in ipairs(fn.parameters) do
    if p.kind == "int" then in_shapes[p.name] = known.values[p.name] end
  end
  local tolerance, answered = f.tolerance, {}
  local task = { name = fn.name, title = fn.name, level = 1, family = "user", arrays = {}, scalars = {},
    rtol = tolerance, atol = tolerance > 0 and 1e-7 or 0, k = 16, body = fn.body, helpers = fn.shown, size_order = {},
    sizes = { cpu = {} }, range = {} }
  known.tells_integers = fn.result and fn.result.kind == "int"
  for _, p in ipairs(with_globals.parameters) do
    if p.kind == "array" and p.role ~= "in" and p.dtype:sub(1, 1) ~= "f" then known.tells_integers = true end
  end
  for _, p in ipairs(with_globals.parameters) do
    if p.kind == "array" then
      local q = {}
      for k, v in pairs(p) do q[k] = v end
      if roles and roles[p.name] and not known.inout[p.name] then q.role = roles[p.name] end
      task.arrays[#task.arrays + 1] = array_of(q, fn, known, in_shapes, answered)
    end
  end
  task.unit = { before = fn.before, head = fn.head, after = fn.after, truth = nil,
    cflags = user_task.flags(user_task.our_flags, fn.cflags) }
  if fn.result then
    local name = name_of_result(fn)
    table.insert(task.arrays, { name = name, role = "out", dtype = fn.result.dtype, shape = { "1" },
      compare = fn.result.kind == "int" and "bound" or nil })
    task.unit.result = name
  end
  local used = {}
  for _, a in ipairs(task.arrays) do
    for _, expression in ipairs(a.shape) do
      for _, word in ipairs(names_in(expression)) do used[word] = true end
    end
    for _, word in ipairs(names_in(a.max or "")) do used[word] = true end
  end
  for _, expression in pairs(derived) do
    for _, word in ipairs(names_in(expression)) do used[word] = true end
  end
  local values, fixed, names, n_sizes = {}, {}, {}, 0
  for i, p in ipairs(fn.parameters) do
    names[i] = p.name
    local is_size = p.kind == "int" and not derived[p.name] and (used[p.name] or known.sizes[p.name])
      and not known.values[p.name]
    if is_size then
      n_sizes = n_sizes + 1
      local n = find_out({ flag = "--size " .. p.name, parse = size_parser,
        question = ("the size %s at which it is timed (0.03 to 2 ms a call)"):format(p.name) }, known.sizes[p.name], answered)
      task.sizes.cpu[p.name], task.size_order[n_sizes] = n, p.name
      task.range[p.name] = size_range(p.name, n, known.ranges[p.name])
    elseif p.kind ~= "array" and not derived[p.name] then
      local is_drawn = known.ranges[p.name] and not known.values[p.name]
      local value = not is_drawn and value_of(p, known, answered) or nil
      local drawn = #task.arrays < max_arrays and drawn_value(p, fn, known, value, answered)
      values[p.name] = value
      if drawn then task.arrays[#task.arrays + 1] = drawn else fixed[p.name] = value end
    end
  end
  if n_sizes == 0 then -- all that it works on is as large as its text says
    task.size_order, task.sizes, task.range = { "one" }, { cpu = { one = 1 } }, { one = { 1, 1 } }
  end
  check_output(task.arrays, fn)
  task.unit.arguments = table.concat(names, ", ")
  task.unit.declaration = (fn.is_static and "static " or "") .. user_task.prototype(fn)
  task.unit.truth = truth_of(task)
  task.unit.entry = entry_text(fn, task, values, derived)
  task.blind = { abs_inputs = "right where the function is even, or its inputs are never negative" }
  task.bytes, task.flops = traffic(task.arrays), outputs_of(task.arrays)
  task.id = 10000 + tonumber(core.sha256(fn.name .. "\0" .. fn.before .. fn.body .. fn.after):sub(1, 7), 16) % 1000000
  return task, answered, fixed
end

---The declaration "float dot(const float *, unsigned long);".
function user_task.prototype(fn)
  return (fn.type:gsub(" %(", " " .. fn.name .. "(", 1)) .. ";"
end

---Options for the evaluator: those of a set, then those of the user's that say what the text means.
function user_task.flags(set, cflags)
  local out = {}
  for _, w in ipairs(set) do
    if not w:find "^%-[lLIcp]" then out[#out + 1] = w end -- nothing in the code
  end
  for _, w in ipairs(cflags) do
    if set ~= cflags and w:find "^%-[DUsfa]" then out[#out + 1] = w end
  end
  if #out == 0 then out[1] = "-O0" end -- none would be the evaluator's own
  return out
end

local function literal(v, indent)
  if type(v) == "string" then
    if not v:find "\n" or v:find "\r" then return ("%q"):format(v) end -- a long string loses a CR
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
