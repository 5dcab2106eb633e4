-- SPDX-License-Identifier: Apache-2.0
--
-- Objects and records whose names are closed: reading a name that does not exist raises at the caller's line and
-- suggests the one that was meant, since a misspelt field that is quietly nil gives another experiment, not an error.
-- A field that may be absent is declared, and is nil where it is. Numbers are places in a list and never raise.
local errors = require "vegttt.errors"

local closed = { classes = {} } -- all that were made, for the test that every method is used

local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  return set
end

local max_listed = 24

-- What may have been meant: a name like it, else all that there are, fields first.
local function suggestion(word, known, methods)
  local names = errors.keys(known)
  for _, m in ipairs(errors.keys(methods)) do names[#names + 1] = m end
  local hint = errors.hint(word, names)
  if hint ~= "" or #names == 0 then return hint end
  return ("; it has %s%s"):format(table.concat(names, ", ", 1, math.min(#names, max_listed)),
    #names > max_listed and ", …" or "")
end

---A metatable: the class's name, what an object is called in messages, the fields that it may have, its methods.
function closed.class(name, what, fields, methods)
  methods = methods or {}
  local known = set_of(fields)
  local class = { __name = name, what = what, methods = methods, fields = known }
  function class.__index(_, k)
    local method = methods[k]
    if method ~= nil then return method end
    if known[k] or type(k) == "number" then return nil end
    errors.misuse(what, "%s has no '%s'%s", what, tostring(k), suggestion(tostring(k), known, methods))
  end
  closed.classes[#closed.classes + 1] = class
  return class
end

---A table of functions and values under fixed names ("vt.stats"): t itself, closed.
function closed.names(what, t)
  return setmetatable(t, closed.class(what, what, errors.keys(t)))
end

---Of a class's objects, no other fields than its own can be set; places of a list can.
function closed.settable(class)
  local read = class.__index -- raises for a name that is no field; a class may read some of its fields in another way
  function class.__newindex(t, k, v)
    if not class.fields[k] and type(k) ~= "number" then
      read(t, k)
      errors.misuse(class.__name, "'%s' is a method of %s, and cannot be set", tostring(k), class.__name)
    end
    rawset(t, k, v)
  end
  return class
end

---A class of records, for those of which there are many.
function closed.record_class(what, names) return closed.settable(closed.class("vt.Record", what, names)) end

---A table of the same values, open.
function closed.copy(t)
  local out = {}
  for k, v in next, t do out[k] = v end
  return out
end

---Values by name, of which those of `names` may be nil. Other names can be neither read nor set.
function closed.record(what, values, names) return setmetatable(values, closed.record_class(what, names)) end

---The same, to which a script may add names of its own.
function closed.open_record(what, values, names)
  return setmetatable(values, closed.class("vt.Record", what, names))
end

---A field of a record where it has one of that name, else nil.
function closed.optional(t, name)
  if getmetatable(t).fields[name] then return t[name] end
end

function closed.is_record(t)
  local mt = getmetatable(t)
  return type(mt) == "table" and mt.__name == "vt.Record"
end

return closed
