-- SPDX-License-Identifier: Apache-2.0
--
-- What names a function in a key: its code and the values that it closes over, whatever file and line it stands in. So a
-- loss written in Lua has an identity as a built-in one has: the same function gives the same weights, also after a line
-- was added above it, and another constant gives others.
--
-- What it closes over counts whole: of the parameters p, those too that it never reads, since p may be indexed by a name
-- that is only known when it runs, or handed on. A script that wants its updates used again when `steps` grows takes the
-- fields that its loss needs into locals.
--
-- Code is Lua's own binary form without names and lines. The numbers of the first and last line stay in that form, so it
-- is walked and they are left out; the walk follows ldump.c of Lua 5.4.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local fresh = require "vegttt.fresh"

local identity = {}

local header = 31 -- bytes before the main function
local fixed = { [0x00] = 0, [0x01] = 0, [0x11] = 0, [0x03] = 8, [0x13] = 8 } -- nil, false, true, integer, float
local strings = { [0x04] = true, [0x14] = true } -- short, long

-- A number of the form: seven bits a byte, the last one marked.
local function read_size(dump, at)
  local n = 0
  repeat
    local byte = dump:byte(at)
    n, at = n << 7 | byte & 0x7f, at + 1
  until byte & 0x80 ~= 0
  return n, at
end

local function after_string(dump, at)
  local n
  n, at = read_size(dump, at)
  return n == 0 and at or at + n - 1 -- the size counts a zero that is not there; 0 is no string
end

local function after_constants(dump, at)
  local n
  n, at = read_size(dump, at)
  for _ = 1, n do
    local kind = dump:byte(at)
    at = at + 1
    if strings[kind] then
      at = after_string(dump, at)
    else
      at = at + fixed[kind]
    end
  end
  return at
end

-- Appends the function at `at` to parts, without its lines; returns what follows it. Where the outermost function finds
-- what it closes over says nothing of it.
local function add_function(dump, at, parts, is_inner)
  local first = after_string(dump, at)
  local _, after = read_size(dump, first)
  _, after = read_size(dump, after)
  local n
  n, at = read_size(dump, after + 3) -- behind parameters, varargs and stack size
  at = after_constants(dump, at + 4 * n)
  parts[#parts + 1] = dump:sub(after, at - 1)
  after = at
  n, at = read_size(dump, at)
  at = at + 3 * n
  if is_inner then parts[#parts + 1] = dump:sub(after, at - 1) end
  n, at = read_size(dump, at)
  for _ = 1, n do at = add_function(dump, at, parts, true) end
  return at + 4 -- no lines, no absolute lines, no locals, no names
end

---The code of a Lua function as text to be hashed; nil for a function that is not written in Lua.
function identity.code(fn)
  local is_dumped, dump = pcall(string.dump, fn, true)
  if not is_dumped then return nil end
  local parts = { dump:sub(1, header) }
  local after = add_function(dump, header + 2, parts) -- behind the number of upvalues
  assert(after == #dump + 1, "this Lua writes functions in another form")
  return table.concat(parts)
end

local describe

-- Each appends what it says of a value to out. seen: objects and variables that were described -> which one it was, since
-- what is shared is another thing than what is alike.

local function is_again(thing, seen, out)
  if seen[thing] then
    out[#out + 1] = "again " .. seen[thing]
    return true
  end
  seen.n = seen.n + 1
  seen[thing] = seen.n
  return false
end

local rank = { number = 1, string = 2, boolean = 3 }

local function is_before(a, b)
  if type(a) ~= type(b) then return rank[type(a)] < rank[type(b)] end
  if type(a) == "boolean" then return a and not b end
  return a < b
end

-- Entries whose keys are objects have no order but that of what is said of them.
local function describe_object_keys(t, keys, seen, out)
  local entries = {}
  for i, k in ipairs(keys) do
    local known, text = closed.copy(seen), {}
    describe(k, known, text)
    text[#text + 1] = "]="
    describe(t[k], known, text)
    entries[i] = table.concat(text)
  end
  table.sort(entries)
  for _, entry in ipairs(entries) do out[#out + 1] = ",[" .. entry end
end

-- Plain data by value, functions by code and what they close over, experiments by what they are made of; anything else
-- (modules, userdata) by its type.
local function describe_table(t, seen, out)
  local keys, objects = {}, {}
  for k in pairs(t) do
    local list = rank[type(k)] and keys or objects
    list[#list + 1] = k
  end
  table.sort(keys, is_before)
  out[#out + 1] = "{"
  for i, k in ipairs(keys) do
    out[#out + 1] = i > 1 and ",[" or "["
    describe(k, seen, out)
    out[#out + 1] = "]="
    describe(t[k], seen, out)
  end
  if objects[1] then describe_object_keys(t, objects, seen, out) end
  out[#out + 1] = "}"
end

local function describe_function(fn, seen, out)
  local name = fresh.function_name(fn) -- what the library's and the surface's close over is the state of the process
  local code = not name and identity.code(fn)
  out[#out + 1] = name and "the function " .. name or code and core.sha256(code) or "function"
  if not code then return end
  for i = 1, 255 do
    local value
    name, value = core.upvalue(fn, i)
    if not name then break end
    if name ~= "_ENV" or value ~= core.globals and not getmetatable(value) then
      out[#out + 1] = ";" .. name .. "="
      if not is_again(debug.upvalueid(fn, i), seen, out) then describe(value, seen, out) end
    end
  end
end

local function describe_experiment(e, seen, out)
  out[#out + 1] = "experiment"
  describe_table({ name = e.name, params = e.params, main = e.main, plan = e.plan }, seen, out)
end

local function scalar_text(v)
  local kind = math.type(v) or type(v)
  if kind == "float" then return ("%a"):format(v) end
  if kind == "integer" or kind == "boolean" or kind == "nil" then return tostring(v) end
  if kind == "string" then return ("%q"):format(v) end
  return core.is_vector(v) and core.json_encode(v) or nil
end

function describe(v, seen, out)
  local text = scalar_text(v)
  if text then
    out[#out + 1] = text
    return
  end
  if is_again(v, seen, out) then return end
  local class = getmetatable(v)
  if type(v) == "table" and (not class or closed.is_record(v)) then
    describe_table(v, seen, out)
  elseif type(v) == "function" then
    describe_function(v, seen, out)
  elseif type(class) == "table" and class.__name == "vt.Experiment" then
    describe_experiment(v, seen, out)
  else
    out[#out + 1] = type(v)
  end
end

---The digest that names a function.
function identity.of(fn)
  local out = {}
  describe(fn, { n = 0 }, out)
  return core.sha256(table.concat(out))
end

return identity
