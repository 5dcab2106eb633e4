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

-- The functions that scripts find under a name, Lua's own and vegttt's, by that name: what those close over is the state
-- of the process.
local name_of

local function names()
  if name_of then return name_of end
  name_of = {}
  local function add(t, prefix)
    for k, v in pairs(t) do
      local name = type(k) == "string" and prefix .. k
      if name and type(v) == "function" and (not name_of[v] or name < name_of[v]) then name_of[v] = name end
    end
  end
  local function add_groups(t, prefix)
    add(t, prefix)
    for k, v in pairs(t) do
      if type(k) == "string" and type(v) == "table" and k ~= "_G" and k ~= "package" then add(v, prefix .. k .. ".") end
    end
  end
  add_groups(core.globals, "")
  add_groups(package.loaded.vegttt or {}, "vt.")
  return name_of
end

local describe

-- Plain data by value, functions by code and what they close over; anything else (modules, userdata) by its type.
local function describe_table(t, seen)
  local keys, parts = {}, {}
  for k in pairs(t) do
    if type(k) == "string" or math.type(k) then keys[#keys + 1] = k end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) < type(b)
  end)
  for i, k in ipairs(keys) do parts[i] = ("[%s]=%s"):format(describe(k, seen), describe(t[k], seen)) end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function describe_function(fn, seen)
  local name = names()[fn]
  if name then return "the function " .. name end
  local code = identity.code(fn)
  if not code then return "function" end
  local parts = { core.sha256(code) }
  for i = 1, 255 do
    local name, value = core.upvalue(fn, i)
    if not name then break end
    if name ~= "_ENV" then parts[#parts + 1] = name .. "=" .. describe(value, seen) end
  end
  return table.concat(parts, ";")
end

function describe(v, seen)
  local kind = math.type(v) or type(v)
  if kind == "float" then return ("%a"):format(v) end
  if kind == "integer" or kind == "boolean" or kind == "nil" then return tostring(v) end
  if kind == "string" then return ("%q"):format(v) end
  if core.is_vector(v) then return core.json_encode(v) end
  if seen[v] then return "again" end
  seen[v] = true
  if kind == "table" and (not getmetatable(v) or closed.is_record(v)) then return describe_table(v, seen) end
  return kind == "function" and describe_function(v, seen) or kind
end

---The digest that names a function.
function identity.of(fn) return core.sha256(describe(fn, {})) end

return identity
