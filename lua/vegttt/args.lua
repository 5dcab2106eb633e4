-- SPDX-License-Identifier: Apache-2.0
--
-- Options of a command line for the Lua half: a list of declarations, from which the words are read (by the one reader
-- that C has too, engine/base/args.h), the values typed, and the lines of --help made.
--
-- A declaration is { name, what its value is called, help, kind =, min =, above =, max =, choices =, repeats =,
-- default = }; one without a value is a switch. Kinds: string, boolean, integer, number, bytes (with K, M, G).
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local text = require "vegttt.text"

local args = {}
local max_shown = 1e9 -- a bound beyond this is a C type's, and no news to anybody

---C's form of declarations. The copies stay as they are, whatever becomes of the originals.
function args.declare(declarations)
  local out = {}
  for i, d in ipairs(declarations) do
    local choices = d.choices and {}
    for j, c in ipairs(d.choices or {}) do choices[j] = tostring(c) end
    out[i] = { name = d[1] or d.name, kind = d.kind or (d[2] and "string" or "switch"), repeats = d.repeats,
      min = d.min, above = d.above, max = d.max, choices = choices }
  end
  return core.args(out)
end

---The value of option `name`: typed, in its range; raises a usage error.
function args.value(declared, name, v)
  local value, problem = core.args_value(declared, name, v)
  if problem then errors.usage("%s", problem) end
  return value
end

---{ name = text | { text, … } }, { word, … }: texts as they were given.
function args.texts(declared, words)
  local given, rest = core.args_parse(declared, words)
  if not given then errors.usage("%s", rest) end
  return given, rest
end

---The typed values of what was given and the defaults of the rest, the words that are no options, and what was given.
function args.parse(declarations, words)
  local declared = args.declare(declarations)
  local given, rest = args.texts(declared, words)
  local values = {}
  for _, d in ipairs(declarations) do
    local name, v = d[1], given[d[1]]
    if v == nil then
      values[name] = d.default
    elseif d.repeats then
      values[name] = {}
      for i, text in ipairs(v) do values[name][i] = args.value(declared, name, text) end
    else
      values[name] = args.value(declared, name, v)
    end
  end
  return values, rest, given
end

---What a value may be, in words: "one of a, b; at least 1".
function args.limits(d)
  local notes = {}
  if d.choices then
    local texts = {}
    for i, c in ipairs(d.choices) do texts[i] = tostring(c) end
    notes[#notes + 1] = "one of " .. table.concat(texts, ", ")
  end
  if d.above then notes[#notes + 1] = ("above %s"):format(args.show(d.above)) end
  if d.min then notes[#notes + 1] = ("at least %s"):format(args.show(d.min)) end
  if d.max and d.max < max_shown then notes[#notes + 1] = ("at most %s"):format(args.show(d.max)) end
  if d.list then notes[#notes + 1] = "a,b,c" end
  return table.concat(notes, "; ")
end

---A value as --help, plans and `vegttt show` print it.
function args.show(v)
  if v == nil or v == core.null then return "from the model record" end
  if type(v) == "table" then
    local texts = {}
    for i, x in ipairs(v) do texts[i] = args.show(x) end
    return table.concat(texts, ",")
  end
  if v == "" or type(v) == "string" and v:find "%c" then return core.json_encode(v) end
  return type(v) == "number" and text.number(v, 10) or tostring(v)
end

---The lines of --help for a list of declarations.
function args.help(declarations)
  local heads, lines, width = {}, {}, 0
  for i, d in ipairs(declarations) do
    heads[i] = d[2] and d[1] .. " " .. d[2] or d[1]
    width = math.max(width, #heads[i])
  end
  for i, d in ipairs(declarations) do
    local limits = d.choices and "" or args.limits(d)
    lines[i] = ("  --%-" .. width .. "s  %s%s%s"):format(heads[i], d[3], limits ~= "" and (" (%s)"):format(limits) or "",
      d.default ~= nil and (" [%s]"):format(args.show(d.default)) or "")
  end
  return table.concat(lines, "\n")
end

return args
