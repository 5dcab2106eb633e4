-- SPDX-License-Identifier: Apache-2.0
--
-- Tasks for scripts: which ones a run works on, and the prompt that shows one to a model.
--
-- A task file (lua/tasks/l1/019_relu.lua) returns a plain table; it becomes a canonical JSON document, checked and
-- hashed in C. A split file is only used after its hash was verified, because "held-out" rests on it.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local list = require "vegttt.list"
local prompts = require "vegttt.prompts"

local tasks = {}

local Task = { __name = "vt.Task" }
Task.__index = Task
function Task:__tostring() return ("task %d %s"):format(self.id, self.name) end

local array_fields = { arrays = true, scalars = true, size_order = true, shape = true, dist = true }

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
  return setmetatable(info, Task)
end

function Task:prompt(o)
  o = errors.options("task:prompt", o, { template = "string", system = "string", reasoning = "string",
    shots = "integer" })
  return prompts.new(self, o)
end

local function load_text(text, name)
  local chunk, message = load(text, "@" .. name, "t", {})
  if not chunk then errors.raise("script", "vt.tasks", message) end
  return tasks.from_table(chunk(), name)
end

local cache = {}

---id -> file name, of the tasks that come with vegttt.
local function shipped(level)
  local by_id = {}
  for _, name in ipairs(core.embedded(("tasks/l%d/"):format(level))) do
    local id = name:match "/(%d+)_[^/]*%.lua$"
    if id then by_id[tonumber(id)] = name end
  end
  return by_id
end

local function load_task(name)
  if not cache[name] then cache[name] = load_text(core.embedded_text(name), name) end
  return cache[name]
end

local function set_of(ids)
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

-- What scripts pass on here is what people typed: such errors are theirs, not the script's.
local function usage(format, ...) errors.raise("usage", "vt.tasks", format:format(...)) end

local function ids_of(o)
  if not o.ids then return {} end
  local ok, ids = pcall(list.integers, o.ids)
  return ok and ids or usage("the problem ids must be whole numbers and ranges, like 4,12-15, not '%s'",
    type(o.ids) == "table" and table.concat(o.ids, ",") or o.ids)
end

local function wanted_ids(o)
  local ids = ids_of(o)
  if (o.split or "") == "" then return ids, 1 end
  local split = core.split_load(core.find(o.split) or o.split)
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

---vt.tasks{ split, subset, ids, file, max }
function tasks.get(o)
  o = errors.options("vt.tasks", o, { split = "string", subset = { "train", "eval" }, ids = "list", file = "string",
    max = "integer" })
  if o.file then
    local path = core.find(o.file) or usage("there is no task file %s", o.file)
    return { load_text(core.read(path), o.file) }
  end
  local ids, level = wanted_ids(o)
  local files = shipped(level)
  local is_explicit = #ids_of(o) > 0
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
  if o.max and #out > o.max then out = table.move(out, 1, o.max, 1, { missing = missing }) end
  return out
end

return tasks
