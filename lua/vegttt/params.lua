-- SPDX-License-Identifier: Apache-2.0
--
-- Parameters: declared in the experiment, typed by their default, set from the command line, recorded with their
-- origin.
--
-- A declaration is { default, help, choices =, min =, max =, list =, type =, extend = }. The type is the default's
-- (integer, number, string, boolean) unless `type` says it; a nil default means "from the model record". `list` splits
-- "a,b,c". `extend` marks what may grow without becoming another run (k, steps): the same run goes on with the
-- difference.
local errors = require "vegttt.errors"

local params = {}

local fields = { choices = "table", min = "number", max = "number", list = "boolean",
  type = { "integer", "number", "string", "boolean" }, extend = "boolean", [1] = "any", [2] = "string" }

function params.kind(d)
  if d.type then return d.type end
  local v = d[1]
  if type(v) == "number" then return math.type(v) == "integer" and "integer" or "number" end
  return type(v) == "nil" and "string" or type(v)
end

---Parameters every sampling script shares. nil defaults come from the model record when a policy samples.
function params.common(extra)
  local p = {
    model = { "default", "model spec: default, MODEL, MODEL+ADAPTER, a folder or a .gguf" },
    k = { 32, "samples per task and step", min = 1, extend = true },
    temperature = { nil, "sampling temperature", type = "number", min = 0 },
    max_tokens = { nil, "longest answer, in tokens", type = "integer", min = 1 },
    top_p = { 1.0, "nucleus sampling; 1 = off", min = 0, max = 1 },
    top_k = { 0, "sample among the k likeliest tokens; 0 = off", min = 0 },
    min_p = { 0.0, "drop tokens below this share of the likeliest; 0 = off", min = 0, max = 1 },
    stop = { nil, "stop strings", type = "string", list = true },
    seed = { 42, "run seed", min = 0 },
  }
  for name, d in pairs(extra or {}) do p[name] = d end
  params.check(p, "vt.params")
  return p
end

---Checks the declarations themselves.
function params.check(declared, op)
  for name, d in pairs(declared) do
    if type(name) ~= "string" or not name:find("^[%a][%w_]*$") then
      errors.misuse(op, "%s: '%s' cannot be a parameter's name; use letters, digits and _", op, tostring(name))
    end
    if type(d) ~= "table" then
      errors.misuse(op, "%s: parameter '%s' must be { default, help }, not a %s", op, name, type(d))
    end
    errors.options(op, d, fields)
    if type(d[1]) == "table" then
      errors.misuse(op, "%s: the default of '%s' is a table; write \"a,b,c\" with list = true", op, name)
    end
  end
end

local function usage(format, ...)
  errors.raise("usage", "command line", format:format(...))
end

local function convert(name, text, kind)
  if kind == "string" then return text end
  if kind == "boolean" then
    if text == "true" or text == "yes" or text == "1" then return true end
    if text == "false" or text == "no" or text == "0" then return false end
    usage("--%s must be true or false, not '%s'", name, text)
  end
  local v = tonumber(text)
  if not v then usage("--%s must be a %s, not '%s'", name, kind == "integer" and "whole number" or "number", text) end
  if kind == "number" then return v + 0.0 end
  local i = math.tointeger(v)
  if not i then usage("--%s must be a whole number, not '%s'", name, text) end
  return i
end

local function check_range(name, d, v)
  if type(v) == "number" then
    if v ~= v then usage("--%s is not a number", name) end
    if d.min and v < d.min then usage("--%s must be at least %s, not %s", name, tostring(d.min), tostring(v)) end
    if d.max and v > d.max then usage("--%s must be at most %s, not %s", name, tostring(d.max), tostring(v)) end
  end
  if d.choices then
    for _, c in ipairs(d.choices) do
      if c == v then return end
    end
    local texts = {}
    for i, c in ipairs(d.choices) do texts[i] = tostring(c) end
    usage("--%s must be one of %s, not '%s'", name, table.concat(texts, ", "), tostring(v))
  end
end

local function split(name, text, d)
  local list = {}
  for item in text:gmatch "[^,]+" do
    item = item:match "^%s*(.-)%s*$"
    if item ~= "" then
      local v = d.type and convert(name, item, d.type) or math.tointeger(tonumber(item)) or tonumber(item) or item
      check_range(name, d, v)
      list[#list + 1] = v
    end
  end
  return list
end

---The value of a parameter given as text, or of its default.
function params.value(name, d, given)
  if given == nil then
    if d.list and type(d[1]) == "string" then return split(name, d[1], d) end
    return d[1]
  end
  if d.list then
    if type(given) == "table" then return given end
    return split(name, tostring(given), d)
  end
  local v = given
  if type(given) == "string" then v = convert(name, given, params.kind(d)) end
  if params.kind(d) == "number" and math.type(v) == "integer" then v = v + 0.0 end
  check_range(name, d, v)
  return v
end

---values, origins of all declared parameters; given: name -> text or value.
function params.resolve(declared, given, origin)
  local values, origins = {}, {}
  for name in pairs(given) do
    if not declared[name] then usage("there is no parameter '%s'%s", name, errors.hint(name, errors.keys(declared))) end
  end
  for name, d in pairs(declared) do
    values[name] = params.value(name, d, given[name])
    origins[name] = { value = values[name], type = params.kind(d), origin = given[name] ~= nil and origin
      or values[name] == nil and "model record" or "default" }
  end
  return values, origins
end

local function show(v)
  if v == nil then return "from the model record" end
  if type(v) == "table" then
    local texts = {}
    for i, x in ipairs(v) do texts[i] = tostring(x) end
    return table.concat(texts, ",")
  end
  return type(v) == "string" and (v == "" and '""' or v) or tostring(v)
end
params.show = show

---The table that --help prints.
function params.help(declared)
  local lines, width = {}, 0
  for name in pairs(declared) do width = math.max(width, #name) end
  for _, name in ipairs(errors.keys(declared)) do
    local d = declared[name]
    local notes = {}
    if d.choices then notes[#notes + 1] = "one of " .. show(d.choices) end
    if d.min then notes[#notes + 1] = "at least " .. tostring(d.min) end
    if d.max then notes[#notes + 1] = "at most " .. tostring(d.max) end
    if d.list then notes[#notes + 1] = "a,b,c" end
    lines[#lines + 1] = ("  --%-" .. width .. "s  %-8s %s%s [%s]"):format(name, params.kind(d), d[2] or "",
      #notes > 0 and " (" .. table.concat(notes, "; ") .. ")" or "", show(d[1]))
  end
  return table.concat(lines, "\n")
end

return params
