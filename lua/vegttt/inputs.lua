-- SPDX-License-Identifier: Apache-2.0
--
-- Inputs: everything that was read and could change a result, by kind, name and digest, like the depfile of a compiler.
--
-- Whoever reads something notes it, in one call, where it is read: the script and the experiments it loads, modules,
-- task and split files, files that the script opens, environment variables, the model, its numerics, the evaluator,
-- recorded rollouts. What is read before there is a run (while files load, while the plan is made) is gathered by
-- inputs.collect and enters the run's id; what a run reads is a line of its inputs.jsonl, and of those of the runs that
-- it is a part of. Before a recorded run answers, each of those lines is compared with what is there now.
--
-- A file's digest is remembered by device, inode, size and times, so comparing costs a stat a file.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local fresh = require "vegttt.fresh"
local sched = require "vegttt.sched"

local inputs = {}

-- kind -> { text = how it is called, now = function(name, dir of the run that noted it) -> digest or nil }. Kinds without
-- `now` are read before there is a run. One that is_anywhere is the same under another name: scripts and tasks that were
-- moved. Of a kind that is_one a run has one, whatever its name.
local kinds = {
  engine = { text = "the engine", is_one = true },
  script = { text = "the script %s", is_anywhere = true, is_one = true },
  flag = { text = "the flag --%s" },
  code = { text = "the code of the experiment %s", is_one = true },
}

---Declares a kind. now(name, dir): its digest at this moment, nil when it is not there. is_anywhere: see above.
function inputs.declare(kind, text, now, is_anywhere)
  kinds[kind] = { text = text, now = now, is_anywhere = is_anywhere }
end

---The digest of an input of a declared kind as it is now.
function inputs.digest(kind, name) return kinds[kind].now(name) end

---The digest of the file `path`; "absent" when there is none, "folder" for a folder; nil for what cannot be compared: a
---device but /dev/null, a pipe, a file of the kernel's.
function inputs.file_digest(path)
  local digest, what = core.file_digest(path)
  if what == "special" and core.real_path(path) == "/dev/null" then return "nothing" end
  return digest or what ~= "special" and what or nil
end

---One digest of a folder's regular files, names and contents.
function inputs.folder_digest(dir)
  local rows = {}
  for _, name in ipairs(core.list(dir)) do
    local digest = core.file_digest(dir .. "/" .. name)
    if digest then rows[#rows + 1] = name .. "\0" .. digest end
  end
  return core.sha256(table.concat(rows, "\n"))
end

-- Where modules are looked for before a script sets package.path or package.cpath itself.
local usual = { path = package.path, cpath = package.cpath }

local script -- the file that the process was started with

---From here on the places where modules are looked for now are the usual ones, those of the script `file`.
function inputs.set_module_places(file)
  script, usual.path, usual.cpath = file, package.path, package.cpath
end

---Where modules are looked for now, as a script that is loaded finds it.
function inputs.module_places() return { path = package.path, cpath = package.cpath } end

---What a state of the same process has to know to see inputs as this one does; it takes them.
function inputs.places() return { script = script, path = usual.path, cpath = usual.cpath } end

function inputs.take_places(places)
  script, usual.path, usual.cpath = places.script, places.path, places.cpath
  package.path, package.cpath = usual.path, usual.cpath
end

---Modules are looked for in these places from here on.
function inputs.use_module_places(places) package.path, package.cpath = places.path, places.cpath end

-- A module's name as an input: with the places, where a script has set others, for they decide which file it is.
local function name_of_module(name)
  if package.path == usual.path and package.cpath == usual.cpath then return name end
  return table.concat({ name, package.path, package.cpath }, "\n")
end

-- The digest of the file that holds a module; "absent" where none does.
local function module_digest(input_name)
  local name, path, cpath = input_name:match "^([^\n]*)\n([^\n]*)\n(.*)$"
  name, path, cpath = name or input_name, path or usual.path, cpath or usual.cpath
  local file = package.searchpath(name, path) or package.searchpath(name, cpath)
    or package.searchpath(name:match "^[^.]*", cpath)
  return file and inputs.file_digest(file) or "absent"
end

inputs.declare("file", "the file %s", inputs.file_digest)
inputs.declare("found", "the file %s", function(name) return inputs.file_digest(core.find(name) or name) end)
inputs.declare("module", "the module %s", module_digest)
inputs.declare("experiment", "the experiment %s", function(name) return inputs.file_digest(core.find(name) or name) end)
inputs.declare("env", "the environment variable %s", function(name)
  local value = os.getenv(name)
  return value and core.sha256(value) or "unset"
end)
inputs.declare("numerics", "the numerics of %s", function() return core.numerics() end)
inputs.declare("place", "the place of the script %s", function(name) return core.sha256(script or name) end)
inputs.declare("unrepeatable", "what %s gives") -- see inputs.note_unrepeatable

-- ── sets ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

local Set = {}
Set.__index = Set

function inputs.set() return setmetatable({ list = {}, known = {} }, Set) end

---Adds one; true when the set did not have it.
function Set:add(kind, name, digest)
  local key = kind .. "\0" .. name .. "\0" .. digest
  if self.known[key] then return false end
  self.known[key] = true
  self.list[#self.list + 1] = { kind = kind, name = name, digest = digest }
  return true
end

function Set:add_all(other)
  for _, x in ipairs(other and other.list or {}) do self:add(x.kind, x.name, x.digest) end
end

---One digest of the set, whatever the order.
function Set:digest()
  local rows = {}
  for i, x in ipairs(self.list) do
    rows[i] = ("%s\0%s\0%s"):format(x.kind, kinds[x.kind].is_anywhere and "" or x.name, x.digest)
  end
  table.sort(rows)
  return core.sha256(table.concat(rows, "\n"))
end

-- ── noting ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local collecting = {} -- sets, innermost last

---fn(…) and the set of what it noted. The caller notes that again where it belongs.
function inputs.collect(fn, ...)
  local set = inputs.set()
  collecting[#collecting + 1] = set
  local results = table.pack(pcall(fn, ...))
  for i = #collecting, 1, -1 do
    if collecting[i] == set then table.remove(collecting, i) end
  end
  if not results[1] then error(results[2], 0) end
  return set, table.unpack(results, 2, results.n)
end

---Something was read: it belongs to what is being loaded, else to the calling task's run.
function inputs.note(kind, name, digest)
  local set = collecting[#collecting]
  if set then return set:add(kind, name, digest) end
  local task = sched.current()
  if task and task.run then task.run:note_input(kind, name, digest) end
end

function inputs.note_all(set)
  for _, x in ipairs(set and set.list or {}) do inputs.note(x.kind, x.name, x.digest) end
end

---Something was read that cannot be compared later: the run goes on where it was cut off, but when it is finished it
---answers nobody else.
function inputs.note_unrepeatable(name) inputs.note("unrepeatable", name, "unknown") end

---The environment variable `name` was read: its value, or nil.
function inputs.getenv(name)
  inputs.note("env", name, kinds.env.now(name))
  return os.getenv(name)
end

---The file `path` was read, or found absent, as an input of a kind that has files' digests.
function inputs.note_as(kind, name, path)
  local digest = inputs.file_digest(path)
  if digest then inputs.note(kind, name, digest) else inputs.note_unrepeatable(path) end
end

---A file that is looked for here and then where vegttt's own are was read, or found absent: its path.
function inputs.find(name)
  local path = core.find(name) or name
  inputs.note_as("found", name, path)
  return path
end

---The file `path` was read, or found absent.
function inputs.note_file(path) inputs.note_as("file", path, path) end

---A script has seen by what name it was started (package.path, debug.traceback, an error it caught): by another it is
---another run then.
function inputs.note_place()
  if script then inputs.note("place", script, inputs.digest("place", script)) end
end

-- ── modules ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local of_module = {} -- name -> the set of a module that is loaded: what it read and required itself

---The module `name` was looked for.
function inputs.note_module(name)
  local named = name_of_module(name)
  inputs.note("module", named, module_digest(named))
end

---`require` for scripts: a module is an input of everybody who requires it, not only of the first.
function inputs.require(name)
  if type(name) ~= "string" then errors.misuse("require", "require needs a module's name, not a %s", type(name)) end
  if of_module[name] then
    inputs.note_all(of_module[name])
    return require(name)
  end
  if name:find "^vegttt%f[%W]" then
    local module, where = require(name)
    fresh.note_engine(name, module)
    return module, where
  end
  if package.loaded[name] ~= nil then return require(name) end
  local named = name_of_module(name)
  local set, ok, value, where = inputs.collect(pcall, require, name)
  local is_of_file = package.preload[name] == nil
  if is_of_file then set:add("module", named, module_digest(named)) end
  inputs.note_all(set) -- also of one that is not there: a script may go on without it
  if not ok then error(value, 0) end
  if is_of_file then fresh.note_module(name, value) end
  of_module[name] = set
  return value, where
end

-- ── comparing ────────────────────────────────────────────────────────────────────────────────────────────────────────

function inputs.text(x) return kinds[x.kind].text:format((x.name:match "^[^\n]*")) end

---What a run noted: those from before it began and those from within.
function inputs.recorded(dir)
  local before, within = inputs.set(), inputs.set()
  pcall(core.read_lines, dir .. "/inputs.jsonl", function(line)
    if kinds[line.kind] then (line.phase == "load" and before or within):add(line.kind, line.name, line.digest) end
  end)
  return before, within
end

---What a run read that cannot be compared, by name.
function inputs.unrepeatable(dir)
  local out, known = {}, {}
  for _, set in ipairs { inputs.recorded(dir) } do
    for _, x in ipairs(set.list) do
      if x.kind == "unrepeatable" and not known[x.name] then
        known[x.name] = true
        out[#out + 1] = x.name
      end
    end
  end
  return out
end

---The digest of the list of what a run noted, which a finished run keeps beside its result.
function inputs.list_digest(dir) return inputs.file_digest(dir .. "/inputs.jsonl") or "none" end

---Whether the list of a finished run is another than it was: one that is cut off or gone would say that nothing has changed.
---Runs of before lists had a digest need one that can be read.
function inputs.is_damaged(dir)
  local path = dir .. "/summary.json"
  local ok, summary = pcall(function() return core.json_decode(core.read(path), path) end)
  if ok and type(summary) == "table" and summary.inputs then return summary.inputs ~= inputs.list_digest(dir) end
  local n = 0
  return not pcall(core.read_lines, dir .. "/inputs.jsonl", function() n = n + 1 end) or n == 0
end

---The inputs that the run in `dir` read while it ran and that are not the same now, in words; first_only: one is enough.
function inputs.changed(dir, first_only)
  local _, within = inputs.recorded(dir)
  local out = {}
  if core.exists(dir .. "/summary.json") then
    if inputs.is_damaged(dir) then return { "the record of its inputs is damaged" } end
    local names = inputs.unrepeatable(dir)
    if #names > 0 then out[1] = ("what %s gives cannot be compared"):format(table.concat(names, ", ")) end
    if first_only and out[1] then return out end
  end
  for _, x in ipairs(within.list) do
    local ok, digest = pcall(kinds[x.kind].now or function() return x.digest end, x.name, dir)
    if not ok or digest ~= x.digest then
      out[#out + 1] = inputs.text(x) .. (ok and digest and digest ~= "absent" and " changed" or " is not there")
      if first_only then break end
    end
  end
  return out
end

---What an input is the successor of.
function inputs.place(x) return x.kind .. "\0" .. (kinds[x.kind].is_one and "" or x.name) end
local place_of = inputs.place

---How the inputs from before a run (`old`) differ from those of now (`new`), in words.
function inputs.differences(old, new)
  local had, has, out = {}, {}, {}
  for _, x in ipairs(old.list) do had[place_of(x)] = x end
  for _, x in ipairs(new.list) do
    has[place_of(x)] = x
    local before = had[place_of(x)]
    if before and before.digest ~= x.digest then
      out[#out + 1] = inputs.text(x) .. " changed"
    elseif not before then
      out[#out + 1] = inputs.text(x) .. " is new"
    end
  end
  for _, x in ipairs(old.list) do
    if not has[place_of(x)] then out[#out + 1] = inputs.text(x) .. " is no longer read" end
  end
  return out
end

return inputs
