-- SPDX-License-Identifier: Apache-2.0
--
-- Tasks for scripts: which ones a run works on, and the prompt that shows one to a model.
--
-- A task file (lua/tasks/l1/019_relu.lua) returns a plain table; it is read in a Lua state of its own, in which nothing
-- can be called and little be used up, and becomes a canonical JSON document, checked and hashed in C. A split file is only used after its hash was verified, because "held-out" rests on it.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local list = require "vegttt.list"
local prompts = require "vegttt.prompts"

local tasks = {}

local max_source = 1 << 20

local methods = {}
local Task = closed.class("vt.Task", "a task", { "id", "name", "title", "level", "family", "signature", "body", "digest",
  "helpers", "handle", "json", "file", "is_shipped", "tier" }, methods)
function Task:__tostring() return ("task %d %s"):format(self.id, self.name) end

local array_fields = { arrays = true, scalars = true, size_order = true, shape = true, dist = true, where = true,
  cflags = true }

-- Empty Lua tables say nothing about being arrays; these fields are.
local function mark_arrays(t)
  for k, v in pairs(t) do
    if type(v) == "table" then
      mark_arrays(v)
      if array_fields[k] then core.array(v) end
    end
  end
  return t
end

---A vt.Task from the table that a task file returns.
function tasks.from_table(t, what)
  if type(t) ~= "table" then errors.misuse("vt.tasks", "%s must return a table, not a %s", what, type(t)) end
  local json = core.json_encode(mark_arrays(t))
  local handle, info = core.task(json)
  info.handle, info.json, info.helpers = handle, json, t.helpers
  info.tier = t.torch and "torch" or nil -- the only one that judges it
  return setmetatable(info, Task)
end

function methods:prompt(o)
  o = errors.options("task:prompt", o, { template = "string", system = "string", reasoning = "string",
    shots = "integer" })
  return prompts.new(self, o)
end

local function load_text(text, name)
  local value, message = core.task_text(text, name)
  if value == nil and message then errors.raise("script", "vt.tasks", message) end
  return tasks.from_table(value, name)
end


-- A KernelBench problem file: DIR/level1/19_ReLU.py is task 19 of level 1, "relu". All else is the torch tier's to find.
local function problem_file(text, path)
  local title = path:match "([^/]*)%.py$"
  local name = title:gsub("^%d+_*", ""):lower():gsub("[^%w]+", "_"):gsub("^_+", ""):gsub("_+$", "")
  if not name:find "^%a" then name = "problem_" .. name end
  return tasks.from_table({ id = tonumber(title:match "^%d+") or 0, level = tonumber(path:match "level(%d+)[^/]*/[^/]*$") or 0,
    name = name:sub(1, 60), title = title, family = "torch", torch = text }, path)
end

---Task `id` of a folder of KernelBench: DIR/levelN/ID_….py, below DIR or DIR/KernelBench.
function tasks.problem_path(dir, level, id)
  for _, middle in ipairs { "/", "/KernelBench/" } do
    local folder = ("%s%slevel%d"):format(dir:gsub("/+$", ""), middle, level)
    for _, name in ipairs(core.is_dir(folder) and core.list(folder) or {}) do
      if tonumber(name:match "^(%d+)_.*%.py$") == id then return folder .. "/" .. name end
    end
  end
end

local cache = {}

---id -> file name and name -> id of the tasks that come with vegttt.
function tasks.shipped(level)
  local by_id, by_name = {}, {}
  for _, file in ipairs(core.embedded(("tasks/l%d/"):format(level))) do
    local id, name = file:match "/(%d+)_([^/]*)%.lua$"
    if id then by_id[tonumber(id)], by_name[name] = file, tonumber(id) end
  end
  return by_id, by_name
end

local function load_task(name)
  if not cache[name] then
    cache[name] = load_text(core.embedded_text(name), name)
    cache[name].is_shipped = true
  end
  return cache[name]
end

local function set_of(ids)
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

-- What scripts pass on here is what people typed: such errors are theirs, not the script's.
local function usage(format, ...) errors.raise("usage", "vt.tasks", format:format(...)) end

---The text of a file that a person or a request named, of code or of a task: a regular one of at most 1 MB.
function tasks.source(path)
  local text, message = core.read_source(path, max_source)
  return text or usage("%s", message)
end

-- The items of o.ids: { id, … } and { file, … }.
local function items_of(o)
  local items, files = {}, {}
  local given = type(o.ids) == "table" and o.ids or { o.ids }
  for _, item in ipairs(given) do
    for part in tostring(item):gmatch "[^,]+" do
      table.insert((part:find "%.lua%s*$" or part:find "%.py%s*$") and files or items, (part:match "^%s*(.-)%s*$"))
    end
  end
  local ok, ids = true, {}
  if #items > 0 then ok, ids = pcall(list.integers, items) end
  if not ok then
    usage("tasks are whole numbers, ranges and .lua or .py files, like 4,12-15,mine.lua, not '%s'", table.concat(items, ","))
  end
  return ids, files
end

-- Ids of a split, or those given; and the level they are of.
local function wanted_ids(o, ids)
  if (o.split or "") == "" then return ids, 1 end
  local path = inputs.find(o.split)
  if not core.exists(path) then usage("there is no split file %s", o.split) end
  if core.is_dir(path) then usage("%s is a folder, not a split file", o.split) end
  local is_split, split = pcall(core.split_load, path)
  if not is_split then usage("%s", tostring(split)) end
  local level = tonumber(split.level:match "%d+")
  local half = o.subset and split.problem_ids[o.subset]
  if #ids == 0 then return half or list.flatten { split.problem_ids.train, split.problem_ids.eval }, level end
  if half then
    local members = set_of(half)
    for _, id in ipairs(ids) do
      if not members[id] then
        usage("task %d is not in the %s half of %s; --split '' takes any task", id, o.subset, o.split)
      end
    end
  end
  return ids, level
end

local function read_file(name)
  local path = core.find(name) or usage("there is no task file %s", name)
  local text = tasks.source(path)
  return name:find "%.py$" and problem_file(text, path) or load_text(text, name)
end

-- What a task file is as an input: its task's digest, or how it is none.
local function digest_of(name)
  local ok, task = pcall(read_file, name)
  if ok then return task.digest end
  return core.find(name) and core.sha256(tostring(task)) or "absent"
end
inputs.declare("task", "the task file %s", digest_of, true)

---A task of the user's own: .file is where it came from.
local function from_file(name)
  inputs.note("task", name, digest_of(name)) -- first: a script may go on without one
  local task = read_file(name)
  task.file = name
  return task
end

local function refuse_twice(found)
  local seen = {}
  for _, task in ipairs(found) do
    if seen[task.id] then usage("task %d (%s) is asked for twice", task.id, task.name) end
    seen[task.id] = true
  end
end

-- The shipped tasks of these ids; of a whole half those without a file are left out and listed.
local function shipped_tasks(o, ids, is_explicit)
  local level
  ids, level = wanted_ids(o, ids)
  local files = tasks.shipped(level)
  if #ids == 0 then ids = errors.keys(files) end
  local out, missing = {}, {}
  for _, id in ipairs(ids) do
    if files[id] then
      out[#out + 1] = load_task(files[id])
    else
      missing[#missing + 1] = tostring(id)
    end
  end
  if #missing > 0 and is_explicit then
    usage("no task file for level %d, id %s; `vegttt task ls` lists what there is", level, table.concat(missing, ", "))
  end
  out.missing = missing
  return out
end

local from_params = { split = "split", subset = "subset", ids = "tasks", max = "max_tasks" }

-- The options that an experiment's parameters hold.
local function options_of(p)
  local o = {}
  for key, name in pairs(from_params) do o[key] = closed.optional(p, name) end
  if o.max == 0 then o.max = nil end
  return o
end

---vt.tasks{ split, subset, ids, file, max }, or vt.tasks(p) with the parameters of vt.task_params.
function tasks.get(o)
  if closed.is_record(o) then o = options_of(o) end
  o = errors.options("vt.tasks", o, { split = "string", subset = { "train", "eval" }, ids = "list", file = "string",
    max = "integer" })
  if o.file then return { from_file(o.file), missing = {} } end
  local ids, files = items_of(o)
  local out = #ids == 0 and #files > 0 and { missing = {} } or shipped_tasks(o, ids, #ids > 0)
  for _, file in ipairs(files) do out[#out + 1] = from_file(file) end
  refuse_twice(out)
  if o.max and #out > o.max then out = table.move(out, 1, o.max, 1, { missing = out.missing }) end
  return out
end

---vt.task(t): a task from the table that a task file returns.
function tasks.of(t)
  return tasks.from_table(t, "vt.task's table")
end

return tasks
