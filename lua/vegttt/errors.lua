-- SPDX-License-Identifier: Apache-2.0
--
-- Errors: what scripts see when something goes wrong, and how misuse finds the caller's line.
--
-- Three kinds of failure, three ways. An outcome of the domain (does not compile, wrong output) is a value and never
-- comes here. Infrastructure, a spent budget and cancellation raise a vt.Error. Misuse raises a vt.Error whose message
-- starts with the position of the nearest frame that is not the engine's own. `tostring` of a vt.Error is its sentence.
local core = require "vegttt.core"

local Error = { __name = "vt.Error" }
Error.__index = Error
function Error:__tostring() return self.message end
core.set_error_metatable(Error)

local errors = {}

---@return vt.Error
function errors.new(fields) return setmetatable(fields, Error) end

function errors.is(e) return getmetatable(e) == Error end

function errors.raise(kind, op, message, fields)
  local e = { kind = kind, op = op, message = message, retryable = false }
  for k, v in pairs(fields or {}) do e[k] = v end
  error(errors.new(e), 0)
end

local function is_engine(info) return info.what == "C" or info.source:find("^@vegttt/") ~= nil end

---"file:line: " of the nearest frame outside the engine, or "".
function errors.where()
  for level = 2, 250 do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if not is_engine(info) then return ("%s:%d: "):format(info.short_src, info.currentline) end
  end
  return ""
end

function errors.misuse(op, format, ...)
  errors.raise("misuse", op, errors.where() .. (select("#", ...) > 0 and format:format(...) or format))
end

---The stack below this point without the engine's frames, one line each.
function errors.traceback()
  local lines = {}
  for level = 2, 250 do
    local info = debug.getinfo(level, "Sln")
    if not info then break end
    if not is_engine(info) then
      local name = info.name and ("in '" .. info.name .. "'") or info.what == "main" and "in the file"
        or "in a function"
      lines[#lines + 1] = ("  %s:%d: %s"):format(info.short_src, info.currentline, name)
    end
  end
  return table.concat(lines, "\n")
end

-- Edit distance with swaps of neighbours; anything above `limit` is limit + 1.
local function distance(a, b, limit)
  if math.abs(#a - #b) > limit then return limit + 1 end
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    local row, last = { [0] = i }, rows[i - 1]
    rows[i] = row
    for j = 1, #b do
      local x, y = a:byte(i), b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x == y and 0 or 1))
      if i > 1 and j > 1 and x == b:byte(j - 1) and a:byte(i - 1) == y then
        row[j] = math.min(row[j], rows[i - 2][j - 2] + 1)
      end
    end
  end
  return rows[#a][#b]
end

local function plain(word) return (word:lower():gsub("[-_ ]", "")) end

---The candidate most like `word`, or nil when none is near.
function errors.nearest(word, candidates)
  local best, best_distance
  word = plain(tostring(word))
  for _, c in ipairs(candidates) do
    local limit = math.max(1, #word // 3)
    local d = distance(word, plain(c), limit)
    if #word >= 3 and plain(c):sub(1, #word) == word then d = math.min(d, 1) end
    if d <= limit and (not best_distance or d < best_distance or d == best_distance and c < best) then
      best, best_distance = c, d
    end
  end
  return best
end

local n_listed = 24

---"; did you mean 'x'?", or the list of what there is when it is short.
function errors.hint(word, candidates)
  local near = errors.nearest(word, candidates)
  if near then return ("; did you mean '%s'?"):format(near) end
  if #candidates == 0 or #candidates > n_listed then return "" end
  table.sort(candidates)
  return "; known: " .. table.concat(candidates, ", ")
end

local function keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list)
  return list
end
errors.keys = keys

local function matches(value, kind)
  if kind == "any" then return true end
  if kind == "integer" then return math.tointeger(value) ~= nil and type(value) == "number" end
  if kind == "list" then return type(value) == "table" or type(value) == "string" end
  if kind == "function" then return type(value) == "function" end
  return type(value) == kind
end

---Checks an option table against { key = "number" | "integer" | "string" | "boolean" | "table" | "list" | "any" |
---{choices} }.
---Returns it, or an empty table. Raises at the caller's line.
function errors.options(op, o, spec)
  if o == nil then return {} end
  if type(o) ~= "table" then errors.misuse(op, "%s: options must be a table, not a %s", op, type(o)) end
  for k, v in pairs(o) do
    local kind = spec[k]
    if kind == nil then
      errors.misuse(op, "%s: unknown option '%s'%s", op, tostring(k), errors.hint(tostring(k), keys(spec)))
    elseif type(kind) == "table" then
      local known = false
      for _, choice in ipairs(kind) do known = known or choice == v or choice == type(v) end
      if not known then
        errors.misuse(op, "%s: %s = %s is none of %s", op, k, tostring(v), table.concat(kind, ", "))
      end
    elseif not matches(v, kind) then
      errors.misuse(op, "%s: option '%s' must be a %s, not %s", op, k, kind,
        type(v) == "number" and tostring(v) or "a " .. type(v))
    end
  end
  return o
end

return errors
