-- SPDX-License-Identifier: Apache-2.0
--
-- Experiment files: what vt.experiment checks, and how a file is loaded.
--
-- A file is a chunk that returns what vt.experiment made of its table. Loading runs nothing: primitives called then
-- raise. Its environment is strict: reading a global that does not exist is an error with a suggestion, so is making
-- one.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local params = require "vegttt.params"

local experiment = {}

local Experiment = closed.class("vt.Experiment", "an experiment", { "name", "doc", "takes", "params", "main", "plan",
  "file", "text", "inputs", "places" })
function Experiment:__tostring() return ("experiment %s"):format(self.name) end

function experiment.is(e) return getmetatable(e) == Experiment end

function experiment.new(e)
  local op = "vt.experiment"
  errors.options(op, e, { name = "string", doc = "string", takes = "string", params = "table", main = "function",
    plan = "function" })
  if not e.name or not e.name:find "^[%w][%w_.-]*$" then
    errors.misuse(op, "%s: name = \"…\" is needed: letters, digits, '_', '-' and '.'", op)
  end
  if e.name == "latest" or #e.name > 100 then
    errors.misuse(op, "%s: an experiment cannot be called '%s'; choose another name of at most 100 letters", op, e.name)
  end
  if not e.main then errors.misuse(op, "%s: main = function(run, p) … end is needed", op) end
  params.check(e.params or {}, op)
  return setmetatable({ name = e.name, doc = e.doc or "", takes = e.takes, params = e.params or {}, main = e.main,
    plan = e.plan, places = inputs.module_places() }, Experiment)
end

local function names(t)
  local list = {}
  for k in pairs(t) do
    if type(k) == "string" then list[#list + 1] = k end
  end
  return list
end

---The environment of one script file.
function experiment.environment(globals)
  return setmetatable({}, {
    __index = function(_, k)
      local v = globals[k]
      if v == nil then
        errors.misuse("script", "there is no global '%s'%s", tostring(k), errors.hint(tostring(k), names(globals)))
      end
      return v
    end,
    __newindex = function(_, k)
      errors.misuse("script", "assignment to the undeclared global '%s'; write `local %s`", tostring(k), tostring(k))
    end,
  })
end

---Loads a file with a strict environment and returns what it returns. Raises vt.Error of kind "script" or "usage".
function experiment.load_file(file)
  if not core.exists(file) then
    errors.raise("usage", "vt.load", ("there is no file %s"):format(file))
  end
  local text = core.read(file)
  local chunk, message = load(text, "@" .. file, "t", experiment.environment(core.globals))
  if not chunk then errors.raise("script", "vt.load", message) end
  return chunk(), text
end

-- What a file raised that is neither a text nor an error has its place here only.
local function raised(e)
  if type(e) == "string" or errors.is(e) then return e end
  return errors.new { kind = "script", op = "vt.load", message = errors.text(e), cause = e, retryable = false }
end

---vt.load(file): an experiment table, with .file and .text.
function experiment.load(file)
  if type(file) ~= "string" then errors.misuse("vt.load", "vt.load needs a file name, not a %s", type(file)) end
  local path = core.find(file) or file
  inputs.note_as("experiment", file, path) -- first: a script may go on without one that is not there, or not right
  local places = inputs.module_places()
  local read, ok, e, text = inputs.collect(xpcall, experiment.load_file, raised, path)
  inputs.note_all(read) -- of whoever loads it; nobody, for the script itself
  if not ok then error(e, 0) end
  if not experiment.is(e) then
    errors.raise("script", "vt.load",
      ("%s returned a %s; an experiment file ends with `return vt.experiment { … }`"):format(file, type(e)))
  end
  read:add("script", path, core.sha256(text))
  e.file, e.text, e.inputs, e.places = path, text, read, places
  return e
end

return experiment
