-- SPDX-License-Identifier: Apache-2.0
--
-- What main returns: a table of plain data, or nothing. It is checked when it returns, so that what cannot be recorded
-- is an error that names the key, not a finished run that cannot be read. JSON has no NaN and no infinities: they are
-- null in summary.json, whose list `non_finite` says which they were, and readers get the numbers back.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local results = {}

-- Objects that are recorded by their id or key.
local by_name = { ["vt.Weights"] = true, ["vt.Task"] = true, ["vt.Sample"] = true }

local function refuse(e, place, format, ...)
  local info = debug.getinfo(e.main, "S")
  local where = info.what == "C" and "" or ("%s:%d: "):format(info.short_src, info.linedefined)
  errors.raise("misuse", "main", ("%smain of experiment '%s' returned %s, %s; a result is a table of plain data, or nil")
    :format(where, e.name, place, format:format(...)))
end

local function check(e, v, place, open)
  local kind, class = type(v), getmetatable(v)
  local name = type(class) == "table" and class.__name
  if kind == "function" or kind == "thread" then refuse(e, place, "a %s", kind) end
  if kind == "userdata" and not pcall(core.json_encode, { v }) then refuse(e, place, "a userdata") end
  if kind ~= "table" or by_name[name] then return end
  if open[v] then refuse(e, place, "a table that contains itself") end
  open[v] = true
  for k, x in next, v do
    local is_own = type(name) == "string" and (type(x) == "function" or k == "handle") -- no data of an object
    if type(k) ~= "string" and math.type(k) ~= "integer" then
      refuse(e, place, "a table with a key that is neither a name nor a whole number but a %s", type(k))
    end
    if not is_own then check(e, x, place == "a result" and tostring(k) or place .. "." .. tostring(k), open) end
  end
  open[v] = nil
end

---Raises when value is no result of experiment e; returns it.
function results.check(e, value)
  if value == nil then return nil end
  if type(value) ~= "table" then refuse(e, "no table", "a %s", type(value)) end
  check(e, value, "a result", {})
  return value
end

local numbers = { nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge }

local function name_of(v)
  return v ~= v and "nan" or v == math.huge and "inf" or v == -math.huge and "-inf" or nil
end

---The numbers of plain data that JSON does not know: { { path = { key, … }, is = "nan" | "inf" | "-inf" }, … }
function results.non_finite(value)
  local out, path = {}, {}
  local function walk(v)
    if type(v) == "table" then
      for _, k in ipairs(errors.keys(v)) do
        path[#path + 1] = tostring(k)
        walk(v[k])
        path[#path] = nil
      end
    elseif type(v) == "number" and name_of(v) then
      out[#out + 1] = { path = core.array(table.move(path, 1, #path, 1, {})), is = name_of(v) }
    end
  end
  walk(value)
  return core.array(out)
end

-- The key of a path as the table has it: places of a list are numbers.
local function key_in(t, k) return #t > 0 and math.tointeger(tonumber(k)) or k end

---A summary as it was read, its numbers put back; a summary of another shape is as whole as it can be: its result and
---its meter are tables.
function results.revive(summary)
  for _, name in ipairs { "result", "meter" } do
    if type(summary[name]) ~= "table" then summary[name] = {} end
  end
  for _, x in ipairs(type(summary.non_finite) == "table" and summary.non_finite or {}) do
    local path = type(x) == "table" and type(x.path) == "table" and x.path or {}
    local t = summary.result
    for i = 1, #path - 1 do t = type(t) == "table" and t[key_in(t, path[i])] end
    if type(t) == "table" and #path > 0 then t[key_in(t, path[#path])] = numbers[x.is] end
  end
  return summary
end

return results
