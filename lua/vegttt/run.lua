-- SPDX-License-Identifier: Apache-2.0
--
-- A run: one execution of an experiment with its directory, its record and its meter; what main gets as `run`.
--
-- The run's identity is the experiment's name, its parameters, except those that may grow (k, steps: `extend`), and the
-- tasks that come from files, so asking for more continues the same directory. In the cells of a sweep what is swept
-- does not grow. Lines of metrics.jsonl and meter.jsonl, tables and plots are written
-- again by every attempt, from the record.
local checkpoints = require "vegttt.checkpoints"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local meter = require "vegttt.meter"
local progress = require "vegttt.progress"
local record = require "vegttt.record"
local rng = require "vegttt.rng"
local session = require "vegttt.session"
local tables = require "vegttt.tables"
local text = require "vegttt.text"

local run = {}
local plain

local Run = { __name = "vt.Run" }
Run.__index = Run
function Run:__tostring() return ("run %s"):format(self.dir) end

-- Tasks of the plan that are the user's own, by file.
local function file_tasks(plan)
  local out = {}
  for _, task in ipairs(plan and plan.tasks or {}) do
    if task.file then out[task.file] = task end
  end
  return out
end

-- A value with the files of tasks replaced by what they hold: a task moved is the same, one edited is another.
local function by_digest(v, own_tasks)
  if type(v) ~= "table" then return v end
  local out = {}
  for i, x in ipairs(v) do out[i] = own_tasks[x] and own_tasks[x].digest or x end
  return core.array(out)
end

local function identity(e, values, own_tasks, swept)
  local out = {}
  for name, d in pairs(e.params) do
    if not d.extend or swept[name] ~= nil then out[name] = values[name] == nil and core.null or by_digest(values[name], own_tasks) end
  end
  out["--chat"] = session.flags.chat -- it changes every prompt
  return out
end

local function origins_json(origins)
  local out = {}
  for name, o in pairs(origins) do
    out[name] = { value = o.value == nil and core.null or o.value, type = o.type, origin = o.origin }
  end
  return out
end

local function params_json(values)
  local out = {}
  for name, v in pairs(values) do out[name] = type(v) == "table" and core.array(v) or v end
  return out
end

-- The parameters that were given or have a default, of those that a summary holds: what came from the model record is
-- the model's to say.
local function given_of(all, values)
  local out = {}
  for name, v in pairs(all) do
    if rawget(values, name) ~= nil then out[name] = v end
  end
  return out
end

local function first_line(path, pattern)
  local file = io.open(path, "r")
  if not file then return nil end
  local text = file:read(65536) or ""
  file:close()
  return text:match(pattern)
end

-- What a reader needs to judge numbers of this run: engine, machine, kernel.
local function environment()
  return {
    vegttt = core.version,
    lua = _VERSION,
    cpu = first_line("/proc/cpuinfo", "model name%s*:%s*([^\n]+)"),
    kernel = first_line("/proc/version", "^[^\n]*"),
    memory_kib = tonumber(first_line("/proc/meminfo", "MemTotal:%s*(%d+)")),
  }
end

---Opens the run of experiment e with resolved parameters. o: { name, fresh, replicate, root, argv, limits,
---parent, progress, swept }
function run.open(e, values, origins, o)
  local plan = e.plan and e.plan(values) -- before anything is written: it may find the parameters wanting
  local own_tasks = file_tasks(plan)
  local about = { command = core.array(o.argv or {}), cwd = core.cwd(), host = core.host(), parent = o.parent,
    script = e.file and { file = e.file, sha256 = core.sha256(e.text) } or nil, vegttt = core.version }
  local handle, info = core.run_open { root = o.root or "runs", experiment = e.name, name = o.name,
    params = identity(e, values, own_tasks, o.swept or {}), replicate = o.replicate or 0, fresh = o.fresh or false,
    part = o.parent ~= nil, origins = origins_json(origins), env = environment(), about = about }
  local r = setmetatable({ handle = handle, id = info.id, dir = info.dir, attempt = info.attempt,
    is_resumed = info.is_resumed, is_finished = info.is_finished, experiment = e, params = values, own_tasks = own_tasks,
    replicate = o.replicate or 0, options = o, evaluating = {}, answered = {}, tables = {}, table_order = {},
    meter = meter.new(o.limits), limits = o.limits or {}, began = core.now() }, Run)
  r.origins, r.resolved = origins_json(origins), params_json(values)
  r.seed = core.seed(rawget(values, "seed") or 42, ("run/%d"):format(r.replicate))
  r.checkpoints = checkpoints.new(handle, info.dir)
  r.progress = progress.new(plan, o.progress)
  r.is_edited = e.text and core.run_source(handle, (e.file:gsub("^.*/", "")), e.text) or false
  return r
end

---Begins the attempt: from here on the run is written to, and no longer finished.
function Run:begin()
  if self.is_finished then core.run_begin(self.handle) end
  self.log_file = io.open(core.run_log_path(self.handle), "a")
  self.record = record.open(self.handle, self.dir)
  for _, task in pairs(self.own_tasks) do
    core.write(core.run_path(self.handle, ("tasks/%d.json"):format(task.id)), task.json .. "\n")
  end
end

function Run:close()
  if self.log_file then self.log_file:close() end
  self.log_file = nil
  core.run_close(self.handle)
end

-- Texts of the modules that the script required from its own folders.
function Run:keep_modules()
  for _, name in ipairs(errors.keys(package.loaded)) do
    local path = not name:find "^vegttt" and package.searchpath(name, package.path)
    if path then core.run_source(self.handle, (path:gsub("^%./", "")), core.read(path)) end
  end
end

function Run:write_tables() tables.write(self) end

---A model that the script opens: it is logged, and parameters without a value have the one of its record from here on,
---in params.json and in the summary.
function Run:uses_model(spec, weights, model_record)
  self:log("policy", { spec = spec, weights = weights, record = model_record })
  local has_changed = false
  for name, o in pairs(self.origins) do
    local v = model_record[name]
    if o.value == core.null and v ~= nil then
      self.resolved[name], has_changed = v, true
      self.origins[name] = { value = v, type = o.type, origin = "model record of " .. spec }
    end
  end
  if has_changed then core.write(core.run_path(self.handle, "params.json"), core.json_encode(self.origins) .. "\n") end
end

---Writes the tables and summary.json: the run is finished.
function Run:finish(result)
  self:keep_modules()
  self:write_tables()
  local summary = { result = plain(result or {}, 0), params = self.resolved, meter = self.meter:copy(),
    wall_s = core.now() - self.began, n_new = self.progress.n_new, tables = core.array(self.table_order) }
  core.run_finish(self.handle, summary)
  return summary
end

---The summary of a finished run that was made with exactly these parameters and this script, else nil.
function Run:stored_summary()
  if not self.is_finished or self.is_edited then return nil end
  local ok, summary = pcall(function()
    return core.json_decode(core.read(self.dir .. "/summary.json"), "summary.json")
  end)
  local given = ok and given_of(summary.params or {}, self.params)
  if not ok or core.json_encode(given) ~= core.json_encode(params_json(self.params)) then return nil end
  return summary
end

function Run:stored_result()
  local summary = self:stored_summary()
  return summary and summary.result
end

---A line of the attempt's log.
function Run:note(line)
  if self.log_file then
    self.log_file:write(("%8.1f %s\n"):format(core.now() - self.began, line))
    self.log_file:flush()
  end
end

function Run:charge(amounts)
  self.meter:charge(amounts)
  core.run_line(self.handle, "meter", self.meter:copy())
end

-- What is said when the time is over.
local function time_error(op, max)
  return errors.new { kind = "budget", op = op, retryable = false,
    message = ("the wall-clock budget of %g s is spent; raise --max-wall to go on, what was recorded stays"):format(max) }
end

function Run:check_time(op)
  local max = self.limits.max_wall_s
  if max and core.now() - self.began > max then error(time_error(op, max), 0) end
end

---When the attempt ends at the latest, for the scheduler; nil = no limit.
function Run:time_limit()
  local max = self.limits.max_wall_s
  return max and { at = self.began + max, error = time_error("main", max) }
end

function Run:check_budget(n, op)
  self.meter:check_rollouts(n, op)
  self:check_time(op)
end

-- ── what scripts call ────────────────────────────────────────────────────────────────────────────────────────────────

-- Only plain data goes into files; weights are named by their id.
function plain(v, depth)
  if type(v) == "table" then
    if depth > 20 then errors.misuse("run:log", "run:log: the value is nested too deeply") end
    if getmetatable(v) and getmetatable(v).__name == "vt.Weights" then return v.id end
    if getmetatable(v) and getmetatable(v).__name == "vt.Task" then return v.id end
    if getmetatable(v) and getmetatable(v).__name == "vt.Sample" then return v.key end
    local out = {}
    for k, x in pairs(v) do
      if type(x) ~= "function" and k ~= "handle" then out[k] = plain(x, depth + 1) end
    end
    return #out > 0 and core.array(out) or out
  end
  if type(v) == "function" or type(v) == "thread" then
    errors.misuse("run:log", "run:log: a %s cannot be recorded", type(v))
  end
  return v
end

---One line of metrics.jsonl. A field named `stage`, or step/task, also names what the run is doing.
function Run:log(kind, fields)
  if type(kind) ~= "string" or type(fields) ~= "table" then
    errors.misuse("run:log", "run:log needs a kind and a table of fields")
  end
  local line = plain(fields, 0)
  line.kind = kind
  core.run_line(self.handle, "metrics", line)
  local texts = {}
  for _, k in ipairs(errors.keys(line)) do
    local v = line[k]
    if k ~= "kind" and type(v) ~= "table" then
      texts[#texts + 1] = k .. " " .. text.value(v, 5)
    end
  end
  self:note(kind .. ": " .. table.concat(texts, ", "))
end

---Names what the run is doing, for the progress line.
function Run:stage(name) self.progress.stage = tostring(name) end

function Run:table(name, columns)
  if type(name) ~= "string" or type(columns) ~= "table" then
    errors.misuse("run:table", "run:table needs a name and a list of column names")
  end
  local t = tables.new(self, name, columns)
  if not self.tables[name] then self.table_order[#self.table_order + 1] = name end
  self.tables[name] = t
  return t
end

function Run:plot(name, spec)
  if type(name) ~= "string" then errors.misuse("run:plot", "run:plot needs a name") end
  return tables.plot(self, name, spec)
end

---Any value as DIR/NAME.json, or weights as a PEFT folder DIR/NAME/.
function Run:save(name, value)
  if type(name) ~= "string" then errors.misuse("run:save", "run:save needs a name") end
  if type(value) == "table" and getmetatable(value) and getmetatable(value).__name == "vt.Weights" then
    local path = core.run_path(self.handle, name)
    if value ~= value.model.base then value:save(path) end
    return path
  end
  local path = core.run_path(self.handle, name .. ".json")
  core.write(path, core.json_encode(plain(value, 0)) .. "\n")
  return path
end

function Run:rng(label)
  if type(label) ~= "string" then errors.misuse("run:rng", "run:rng needs a label") end
  return rng.new(self.seed, label)
end

-- ── what main gets: the calls and a few fields; everything else of a run is the engine's ─────────────────────────────

local public = { "log", "table", "plot", "save", "sweep", "kernels", "rng", "meter", "stage" }
local runs = setmetatable({}, { __mode = "k" }) -- view -> run
local view_methods = {}
local View = closed.class("vt.Run", "a run", { "id", "dir", "params", "seed" }, view_methods)
View.__tostring = Run.__tostring
for _, name in ipairs(public) do
  view_methods[name] = function(view, ...) return Run[name](runs[view], ...) end
end
function view_methods.meter(view) return runs[view].meter:copy() end

function Run.script_view(r)
  local view = setmetatable({ id = r.id, dir = r.dir, params = r.params, seed = r.seed }, View)
  runs[view] = r
  return view
end

run.class, run.plain = Run, plain -- sweep.lua adds run:sweep, draw.lua run:kernels

return run
