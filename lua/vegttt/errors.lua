-- SPDX-License-Identifier: Apache-2.0
--
-- Errors: what scripts see when something goes wrong, and how misuse finds the caller's line.
--
-- Three kinds of failure, three ways. An outcome of the domain (does not compile, wrong output) is a value and never
-- comes here. Infrastructure, a spent budget and cancellation raise a vt.Error. Misuse raises a vt.Error whose message
-- starts with the position of the nearest frame that is not the engine's own. `tostring` of a vt.Error is its sentence.
local core = require "vegttt.core"

local Error = { __name = "vt.Error" }
local errors = {}

-- What an error may have; other names raise when they are read, as those of every record do.
local error_fields = { kind = true, op = true, code = true, message = true, retryable = true, traceback = true,
  inner = true, cause = true, task = true, sample = true }
function Error.__index(_, k)
  if error_fields[k] then return nil end
  errors.misuse("vt.Error", "an error has no '%s'%s", tostring(k), errors.hint(tostring(k), errors.keys(error_fields)))
end

function Error:__tostring() return self.message end
core.set_error_metatable(Error)

---@return vt.Error
function errors.new(fields) return setmetatable(fields, Error) end

function errors.is(e) return getmetatable(e) == Error end

function errors.raise(kind, op, message, fields)
  local e = { kind = kind, op = op, message = message, retryable = false }
  for k, v in pairs(fields or {}) do e[k] = v end
  error(errors.new(e), 0)
end

---What a person typed is wrong: an option, a parameter, a file, a name.
function errors.usage(format, ...)
  errors.raise("usage", "command line", select("#", ...) > 0 and format:format(...) or format)
end

---The exit code of a process that ends by this error, as `vegttt --help` lists them (engine/base/exit.c). Interrupted by
---a signal (code ECANCELLED) is 130; a task of the script that was cancelled is the script's error. no_script: nobody's
---script ran, so what C calls misuse is bad input, and what Lua does is a fault of vegttt.
function errors.exit_code(e, no_script)
  local kind, code = errors.is(e) and e.kind or "script", errors.is(e) and e.code or nil
  if code == "ECANCELLED" then
    kind = "cancelled"
  elseif kind == "cancelled" then
    kind = "script"
  elseif no_script and not code and (kind == "misuse" or kind == "script") then
    kind = "infrastructure"
  end
  return core.exit_code(kind, not no_script)
end

local full_disk = { "No space left on device", "Disk quota exceeded" }

---The sentence of an error as a person at a command line reads it: with what to do about a disk that is full. kept: what
---is said of what there is already.
function errors.sentence(e, kept)
  local text = tostring(e)
  for _, cause in ipairs(full_disk) do
    if text:find(cause, 1, true) then
      return text .. "; make room there and give the same command again" .. (kept or "")
    end
  end
  return text
end

local function is_engine(info) return info.what == "C" or info.source:find("^@vegttt/") ~= nil end

---"file:line: " of the nearest frame outside the engine, or ""; co: in that coroutine, which is suspended.
function errors.where(co)
  co = co or coroutine.running()
  for level = co == coroutine.running() and 2 or 0, 250 do
    local info = debug.getinfo(co, level, "Sl")
    if not info then return "" end
    if not is_engine(info) then return ("%s:%d: "):format(info.short_src, info.currentline) end
  end
  return ""
end

function errors.misuse(op, format, ...)
  errors.raise("misuse", op, errors.where() .. (select("#", ...) > 0 and format:format(...) or format))
end

-- What Lua itself says of a bad argument has the position of the engine's line that passed it on, or none; what C calls
-- misuse has none.
local function at_the_caller(e)
  if errors.is(e) and e.kind == "misuse" and e.code and not e.message:find "^[^\n]-:%d+: " then
    e.message = errors.where() .. e.message
  end
  if type(e) ~= "string" then return e end
  local inner, text = e:match "^(vegttt/[%w_/]+%.lua:%d+): (.*)$"
  local raised = debug.getinfo(2, "Sf")
  local is_of_c = not inner and raised and raised.what == "C" and raised.func ~= error and not e:find "^[^\n]-:%d+: "
  if not inner and not is_of_c then return e end
  return errors.new { kind = "misuse", op = "script", retryable = false, message = errors.where() .. (text or e),
    inner = inner }
end

---fn as scripts call it: what it does not check itself is said at the caller's line too.
function errors.surface(fn)
  local function out(ok, ...)
    if not ok then error((...), 0) end
    return ...
  end
  return function(...) return out(xpcall(fn, at_the_caller, ...)) end
end

-- { code = 7, message = "mine" }: what a table has that can be written in a few words.
local function outline(t)
  local parts = {}
  for _, k in ipairs(errors.keys(t)) do
    local v = rawget(t, k)
    local text = type(v) == "string" and ("%q"):format(v:sub(1, 80)):gsub("\\\n", "\\n") or tostring(v)
    parts[#parts + 1] = ("%s = %s"):format(tostring(k), text:find "0x%x+$" and "a " .. type(v) or text)
    if #parts == 5 then break end
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

---What a script raised, as a sentence: its text, or, of what has none, where it was raised and what it is.
function errors.text(e)
  if type(e) == "string" then return e end
  local text = tostring(e)
  if type(e) == "number" then return errors.where() .. text end
  local has_text = type(e) ~= "nil" and type(e) ~= "boolean" and not text:find ": 0x%x+$"
  if has_text then return text end
  local what = type(e) == "table" and "the table " .. outline(e) or (e == nil or type(e) == "boolean") and text
    or "a " .. type(e)
  return ("%serror was given %s, not a text"):format(errors.where(), what)
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

---"; did you mean 'x'?", or the list of what there is when it is short.
function errors.hint(word, candidates) return core.hint(word, candidates) end

---v, when it is a finite number (a whole one: is_whole) from min to max; else raises. what names it: "p", "value 3".
function errors.number(op, what, v, min, max, is_whole)
  if type(v) ~= "number" then errors.misuse(op, "%s: %s must be a number, not a %s", op, what, type(v)) end
  local is_in = v == v and math.abs(v) < math.huge and v >= (min or v) and v <= (max or v)
  if is_in and not (is_whole and math.tointeger(v) == nil) then return v end
  local range = min and max and (" from %s to %s"):format(min, max) or min and (" of at least %s"):format(min) or ""
  errors.misuse(op, "%s: %s must be a %s number%s, not %s", op, what, is_whole and "whole" or "finite", range,
    v ~= v and "nan" or tostring(v))
end

---The keys of a table in order, numbers before strings.
local function keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) < type(b)
  end)
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
