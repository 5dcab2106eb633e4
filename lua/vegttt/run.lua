-- SPDX-License-Identifier: Apache-2.0
--
-- A run: one execution of an experiment with its directory, its record and its meter; what main gets as `run`.
--
-- The run's identity is the experiment's name and its parameters, except those that may grow (k, steps: `extend`), so
-- asking for more continues the same directory. Lines of metrics.jsonl and meter.jsonl, tables and plots are written
-- again by every attempt, from the record.
local checkpoints = require "vegttt.checkpoints"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local meter = require "vegttt.meter"
local params = require "vegttt.params"
local progress = require "vegttt.progress"
local record = require "vegttt.record"
local rng = require "vegttt.rng"
local sched = require "vegttt.sched"
local tables = require "vegttt.tables"

local run = {}
local plain

local Run = { __name = "vt.Run" }
Run.__index = Run
function Run:__tostring() return ("run %s"):format(self.dir) end

local function identity(e, values)
  local out = {}
  for name, d in pairs(e.params) do
    if not d.extend then out[name] = values[name] == nil and core.null or values[name] end
  end
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

---Opens the run of experiment e with resolved parameters. o: { name, fresh, replicate, root, argv, limits, about }
function run.open(e, values, origins, o)
  local plan = e.plan and e.plan(values) -- before anything is written: it may find the parameters wanting
  local about = { command = core.array(o.argv or {}), cwd = core.cwd(), host = core.host(), parent = o.parent }
  local handle, info = core.run_open { root = o.root or "runs", experiment = e.name, name = o.name,
    params = identity(e, values), replicate = o.replicate or 0, fresh = o.fresh or false,
    origins = origins_json(origins), env = environment(), about = about }
  local r = setmetatable({ handle = handle, id = info.id, dir = info.dir, attempt = info.attempt,
    is_resumed = info.is_resumed, is_finished = info.is_finished, experiment = e, params = values,
    replicate = o.replicate or 0, options = o, evaluating = {}, answered = {}, tables = {}, table_order = {},
    meter = meter.new(o.limits), limits = o.limits or {}, began = core.now() }, Run)
  r.seed = core.seed(values.seed or 42, ("run/%d"):format(r.replicate))
  r.checkpoints = checkpoints.new(handle, info.dir)
  r.progress = progress.new(plan)
  r.is_edited = e.text and core.run_source(handle, (e.file:gsub("^.*/", "")), e.text) or false
  return r
end

---Begins the attempt: from here on the run is written to, and no longer finished.
function Run:begin()
  if self.is_finished then core.run_begin(self.handle) end
  self.log_file = io.open(core.run_log_path(self.handle), "a")
  self.record = record.open(self.handle, self.dir)
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

---Writes the tables and summary.json: the run is finished.
function Run:finish(result)
  self:keep_modules()
  self:write_tables()
  local summary = { result = plain(result or {}, 0), params = params_json(self.params), meter = self.meter:copy(),
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
  if not ok or core.json_encode(summary.params or {}) ~= core.json_encode(params_json(self.params)) then return nil end
  return summary
end

function Run:stored_result()
  local summary = self:stored_summary()
  return summary and summary.result
end

---A line of the attempt's log.
function Run:note(text)
  if self.log_file then
    self.log_file:write(("%8.1f %s\n"):format(core.now() - self.began, text))
    self.log_file:flush()
  end
end

function Run:charge(amounts)
  self.meter:charge(amounts)
  core.run_line(self.handle, "meter", self.meter:copy())
end

function Run:check_time(op)
  local max = self.limits.max_wall_s
  if max and core.now() - self.began > max then
    errors.raise("budget", op,
      ("the wall-clock budget of %g s is spent; raise --max-wall to go on, what was recorded stays"):format(max))
  end
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
      texts[#texts + 1] = ("%s %s"):format(k, type(v) == "number" and ("%.5g"):format(v) or tostring(v))
    end
  end
  self:note(kind .. ": " .. table.concat(texts, ", "))
end

---Names what the run is doing, for the progress line.
function Run:stage(text) self.progress.stage = tostring(text) end

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

---What main gets: the calls and a few fields; everything else of a run is the engine's.
function Run.script_view(r)
  local view = setmetatable({}, { __name = "vt.Run", __tostring = Run.__tostring, __index = function(_, k)
    if k == "meter" then return function() return r.meter:copy() end end
    if Run[k] then return function(_, ...) return Run[k](r, ...) end end
    if k == "id" or k == "dir" or k == "params" or k == "seed" then return r[k] end
    errors.misuse("run", "a run has no field '%s'%s", tostring(k), errors.hint(tostring(k),
      { "log", "table", "plot", "save", "rng", "meter", "sweep", "stage", "id", "dir" }))
  end })
  return view
end

-- ── sweeps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local Cells = { __name = "vt.Cells" }
Cells.__index = Cells

---for value, cells in cells:group_by "lr" do
function Cells:group_by(name)
  local groups = require("vegttt.list").group_by(self, function(c) return c.params[name] end)
  local i = 0
  return function()
    i = i + 1
    if groups[i] then return groups[i].key, groups[i] end
  end
end

local function run_cell(parent, e, cell, o)
  local given = {}
  for k, v in pairs(o.fixed or {}) do given[k] = v end
  for k, v in pairs(cell) do given[k] = v end
  local ok, result = pcall(function()
    local values, origins = params.resolve(e.params, given, "sweep")
    local r = run.open(e, values, origins, { root = parent.options.root, replicate = parent.replicate,
      limits = parent.limits, parent = parent.id, argv = parent.options.argv })
    local stored = r:stored_result()
    if stored then
      r:close()
      return { result = stored, dir = r.dir }
    end
    r:begin()
    local handle = sched.spawn(function() return e.main(r:script_view(), values) end, r)
    local done, summary = pcall(handle.join, handle)
    if done then r:finish(summary) end
    local dir = r.dir
    r:close()
    if not done then error(summary, 0) end
    return { result = summary, dir = dir }
  end)
  if ok then
    local out = { params = given, dir = result.dir }
    for k, v in pairs(result.result or {}) do out[k] = v end
    return out
  end
  if errors.is(result) and result.kind == "cancelled" then error(result, 0) end
  return { params = given, error = tostring(result) }
end

---Runs e once per cell of the grid, each in its own run directory; a failed cell is listed with .error.
function Run:sweep(e, grid, o)
  sched.need "run:sweep"
  o = errors.options("run:sweep", o, { fixed = "table", jobs = "integer", on = { "local" }, keep_going = "boolean" })
  if not experiment.is(e) then
    errors.misuse("run:sweep", "run:sweep needs an experiment (vt.load \"file.lua\"), not a %s", type(e))
  end
  local cells = setmetatable(sched.map(grid, function(cell) return run_cell(self, e, cell, o) end,
    { limit = o.jobs or 1 }), Cells)
  cells.failed = 0
  for _, c in ipairs(cells) do
    if c.error then cells.failed = cells.failed + 1 end
  end
  if cells.failed > 0 and o.keep_going == false then
    errors.raise("script", "run:sweep", ("%d of %d cells failed; the first: %s"):format(cells.failed, #cells,
      require("vegttt.list").find(cells, "error").error))
  end
  return cells
end

run.plain = plain

return run
