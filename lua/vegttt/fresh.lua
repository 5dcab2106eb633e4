-- SPDX-License-Identifier: Apache-2.0
--
-- What a fresh Lua state has under a name: Lua's library and vegttt's surface as they are before a script runs, and each
-- module of a script as its file left it. What stands under a name now may be another thing: scripts change fields of
-- modules and replace functions of the library. Whoever writes a value down as its name (closure.lua, identity.lua) asks
-- here, and gets the name only of what the name would give to a fresh state.
--
-- Of a function of the library or of vegttt that is the very function which had the name; of a table of theirs, the same
-- fields too. Of a module it is everything that can be reached from it, upvalues as well, or nothing: parts of one module
-- share their variables, and must not share them in halves.
local closed = require "vegttt.closed"
local core = require "vegttt.core"

local fresh = {}

local places = {} -- object -> { "global" or "module", names… }
local owner = {} -- object that has a place -> the module of the script that it belongs to; nil: the engine's or Lua's
local contents = {} -- object -> what it held when it was noted
local modules = {} -- module of a script -> what can be reached from it
local function_names = {} -- functions of Lua's library and of the surface -> "math.floor", "vt.map"
local is_noted = {}

local max_depth = 3 -- of names below a module

local function has_parts(v) return type(v) == "table" or type(v) == "function" end

local function add_places(v, place, depth, on_new)
  if not has_parts(v) or places[v] then return end
  places[v] = place
  on_new(v, place)
  if type(v) ~= "table" or depth == 0 then return end
  for k, x in next, v do
    if type(k) == "string" then
      local longer = table.move(place, 1, #place, 1, {})
      longer[#longer + 1] = k
      add_places(x, longer, depth - 1, on_new)
    end
  end
end

-- ── what things hold ─────────────────────────────────────────────────────────────────────────────────────────────────

local function is_of_engine(fn)
  local info = debug.getinfo(fn, "S")
  return info.what == "C" or info.source:find "^@vegttt/[%w_]+%.lua$" ~= nil
end

-- Objects of the engine count as themselves, whatever they remember.
local function is_closed(v)
  if places[v] and not owner[v] then return true end
  if type(v) == "function" then return is_of_engine(v) end
  local class = debug.getmetatable(v)
  local name = type(class) == "table" and rawget(class, "__name")
  return type(name) == "string" and name:find "^vt%." ~= nil and not closed.is_record(v)
end

-- What v holds by key; nil for what holds nothing that could be another. The second: its metatable.
local function content_of(v)
  local out = {}
  if core.is_vector(v) then
    for i = 1, #v do out[i] = v[i] end
    return out
  end
  if not has_parts(v) or is_closed(v) then return nil end
  if type(v) == "table" then
    for k, x in next, v do out[k] = x end
    return out, debug.getmetatable(v)
  end
  for i = 1, 255 do
    local name, x = core.upvalue(v, i)
    if not name then break end
    if name ~= "_ENV" then out[i] = x end
  end
  return out
end

local function is_same(a, b) return rawequal(a, b) and math.type(a) == math.type(b) or a ~= a and b ~= b end

local function is_unchanged(v)
  local had = contents[v]
  local has, class = content_of(v)
  if has == nil or class ~= had.class then return false end
  for k, x in next, has do
    if not is_same(x, had.content[k]) then return false end
  end
  for k in next, had.content do
    if has[k] == nil then return false end
  end
  return true
end

-- All that can be reached from root; what each holds is noted, where it is not yet.
local function reach(root)
  local found, known, todo = {}, {}, { root }
  local function push(x)
    if x ~= nil and not known[x] and (has_parts(x) or core.is_vector(x)) then
      known[x] = true
      todo[#todo + 1] = x
    end
  end
  while #todo > 0 do
    local v = table.remove(todo)
    local content, class = content_of(v)
    if content then
      contents[v] = contents[v] or { content = content, class = class }
      found[#found + 1] = v
      push(class)
      for k, x in next, content do
        push(k)
        push(x)
      end
    end
  end
  return found
end

-- ── noting ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local function note_of_engine(v, place, depth, prefix)
  add_places(v, place, depth, function(x, at)
    if type(x) == "function" and prefix then
      function_names[x] = prefix .. table.concat(at, ".", #place + (place[1] == "module" and 1 or 0))
    elseif type(x) == "table" and prefix then
      local content = {}
      for k, y in next, x do content[k] = y end
      contents[x] = { content = content, class = debug.getmetatable(x) }
    end
  end)
end

---The globals of scripts are as a script finds them.
function fresh.note_globals()
  local names = {}
  for k in next, core.globals do
    if type(k) == "string" and k ~= "_G" and k ~= "package" then names[#names + 1] = k end
  end
  table.sort(names)
  for _, k in ipairs(names) do note_of_engine(core.globals[k], { "global", k }, 1, "") end
end

---A module of vegttt's own was handed to a script.
function fresh.note_engine(name, module)
  if is_noted[name] then return end
  is_noted[name] = true
  note_of_engine(module, { "module", name }, max_depth, name == "vegttt" and "vt." or nil)
end

---The file of a module of the script was just carried out.
function fresh.note_module(name, module)
  if not has_parts(module) then return end
  add_places(module, { "module", name }, max_depth, function(x) owner[x] = name end)
  modules[name] = reach(module)
end

-- ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local function note_surface() -- the engine hands it out too
  if package.loaded.vegttt then fresh.note_engine("vegttt", package.loaded.vegttt) end
end

---The name of a function that scripts find in Lua's library or in vegttt's surface, whatever stands there now.
function fresh.function_name(fn)
  note_surface()
  return function_names[fn]
end

local function is_whole(t)
  if not contents[t] then return true end -- inside the engine
  local had = contents[t]
  if debug.getmetatable(t) ~= had.class then return false end
  for k, x in next, t do
    if not is_same(x, had.content[k]) then return false end
    if type(x) == "table" and x ~= t and places[x] and not is_whole(x) then return false end
  end
  for k in next, had.content do
    if rawget(t, k) == nil then return false end
  end
  return true
end

---A function that gives the place of an object as things are now, { "global" or "module", names… }, or nil where a fresh
---state has no such thing, or another. fresh.had(v): whether v had a place.
function fresh.places()
  note_surface()
  local is_as_loaded = {}
  return function(v)
    if v == core.globals then return { "global" } end
    local place, module = places[v], owner[v]
    if not place then return nil end
    if not module then return (type(v) == "function" or is_whole(v)) and place or nil end
    if is_as_loaded[module] == nil then
      is_as_loaded[module] = true
      for _, x in ipairs(modules[module]) do
        if not is_unchanged(x) then
          is_as_loaded[module] = false
          break
        end
      end
    end
    return is_as_loaded[module] and place or nil
  end
end

function fresh.had(v) return places[v] ~= nil end

return fresh
