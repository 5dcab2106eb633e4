-- SPDX-License-Identifier: Apache-2.0
--
-- A run: one execution of an experiment with its directory, its record and its meter; what main gets as `run`.
--
-- The run's identity is everything that can change its result: the experiment's name, all parameters, the replicate and
-- every input (inputs.lua). Those read before the run enter its id; those it reads itself are compared when a directory
-- of that id is found. The same again is the finished result, or the unfinished run continued; anything else is a new
-- directory beside it, which takes from its family (the same but for parameters that may grow, and inputs) what has the
-- same key. So nothing is ever written over. Lines of metrics.jsonl and meter.jsonl, tables and plots of an unfinished
-- run are written again by every attempt, from the record.
local args = require "vegttt.args"
local checkpoints = require "vegttt.checkpoints"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local donors = require "vegttt.donors"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local meter = require "vegttt.meter"
local params = require "vegttt.params"
local plots = require "vegttt.plots"
local progress = require "vegttt.progress"
local prices = require "vegttt.prices"
local record = require "vegttt.record"
local results = require "vegttt.results"
local rng = require "vegttt.rng"
local session = require "vegttt.session"
local tables = require "vegttt.tables"
local text = require "vegttt.text"

local run = {}
local plain
local waits = "waits" -- the file

local Run = { __name = "vt.Run" }
Run.__index = Run
function Run:__tostring() return ("run %s"):format(self.dir) end

local max_name = 128 -- engine/store/run_find.c has it too

-- What is wrong with a name that becomes a file's or a folder's, or nil.
local function file_name_problem(name)
  if name:find "^[%w_][%w_.-]*$" and #name <= max_name then return nil end
  return ("'%s' is no name: it must be 1 to %d letters, digits, '_', '-' and '.', and begin with one of the first three")
    :format((name:sub(1, 140):gsub("%c", "?")), max_name)
end

---What is wrong with a run's name, or nil.
function run.name_problem(name)
  if name == "latest" then return "'latest' names the run that was started last; choose another name" end
  return file_name_problem(name)
end

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

-- What was asked, for the id: files of tasks by what they hold, and the digest of what was read.
local function identity(e, values, own_tasks, read)
  local out = { ["--inputs"] = read:digest() }
  for name in pairs(e.params) do
    out[name] = values[name] == nil and core.null or by_digest(values[name], own_tasks)
  end
  return out
end

-- What was asked, as it was put and but for what may grow: runs that have it in common are one family.
local function family(e, values, replicate)
  local out = {}
  for name, d in pairs(e.params) do
    if not d.extend then out[name] = values[name] == nil and core.null or by_digest(values[name], {}) end
  end
  return core.run_id(e.name, out, replicate)
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
    commit = core.commit,
    lua = _VERSION,
    cpu = first_line("/proc/cpuinfo", "model name%s*:%s*([^\n]+)"),
    kernel = first_line("/proc/version", "^[^\n]*"),
    memory_kib = tonumber(first_line("/proc/meminfo", "MemTotal:%s*(%d+)")),
  }
end

-- ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Everything that was read before the run, beside the flags that change results.
local function read_before(e, planned)
  local read = inputs.set()
  read:add("engine", "", core.sha256(table.concat({ core.version, core.engine_digest, core.lua_digest() }, "\0")))
  if session.flags.chat then read:add("flag", "chat", session.flags.chat) end -- it changes every prompt
  if session.flags.unsafe_jail then read:add("flag", "unsafe-jail", "true") end
  local from = session.flags.reward_from
  if from then read:add("flag", "reward-from " .. from, inputs.file_digest(from .. "/evals.jsonl") or "") end
  read:add_all(e.inputs)
  read:add_all(planned)
  return read
end

-- How the parameters of the run in `dir` differ from these, in words. Files of tasks are compared as inputs.
local function parameter_differences(dir, values, own_tasks)
  local ok, old = pcall(function() return core.json_decode(core.read(dir .. "/params.json"), "params.json") end)
  local out = {}
  for _, name in ipairs(ok and errors.keys(old) or {}) do
    local was, is = old[name].value, rawget(values, name)
    if tostring(old[name].origin):find "^model record" then was = core.null end
    if is == nil then is = core.null end
    if core.json_encode { by_digest(was, own_tasks) } ~= core.json_encode { by_digest(is, own_tasks) } then
      out[#out + 1] = ("%s was %s"):format(name, args.show(was))
    end
  end
  return out
end

-- Every difference of the run in `dir` from what is asked now, in words.
local function differences(dir, values, own_tasks, read)
  local out, is_said = parameter_differences(dir, values, own_tasks), {}
  local before, is_damaged = inputs.recorded(dir), core.exists(dir .. "/summary.json") and inputs.is_damaged(dir)
  for _, list in ipairs { is_damaged and {} or inputs.differences(before, read), inputs.changed(dir) } do
    for _, text in ipairs(list) do -- what was read before the run and within it is said once
      if not is_said[text] then out[#out + 1], is_said[text] = text, true end
    end
  end
  return out
end

-- The directories of this id whose own inputs are not what they were, down to the newest whose are; and that of `name`.
local function stale_of(known, id, named_dir)
  local out, is_found = {}, false
  for _, entry in ipairs(known) do
    if entry.about.id == id and (not is_found or entry.dir == named_dir) then
      local is_stale = #inputs.changed(entry.dir, true) > 0
      if is_stale then out[#out + 1] = entry.dir end
      is_found = is_found or not is_stale
    end
  end
  return out
end

-- The newest run of the family, which a new one is compared with.
local function predecessor(known, of_family)
  for _, entry in ipairs(known) do
    if entry.about.family == of_family then return entry.dir end
  end
end

-- A name that another run has.
local function refuse_name(known, named_dir, id, stale, values, own_tasks, read)
  for _, entry in ipairs(named_dir and known or {}) do
    local is_stale = false
    for _, dir in ipairs(stale) do is_stale = is_stale or dir == named_dir end
    if entry.dir == named_dir and (entry.about.id ~= id or is_stale) then
      errors.usage("the run %s is another one: %s; choose another name", named_dir,
        table.concat(differences(named_dir, values, own_tasks, read), ", "))
    end
  end
end

-- The lines of inputs.jsonl: those from before the run are written when it is new, those it noted earlier are known.
local function open_inputs(r, read)
  local before, within = inputs.recorded(r.dir)
  r.inputs = within
  if r.is_finished or #before.list > 0 then return end
  for _, x in ipairs(read.list) do
    core.run_line(r.handle, "inputs", { phase = "load", kind = x.kind, name = x.name, digest = x.digest })
  end
end

---Raises: the run in `dir` waits for itself, by way of others.
function run.circle(dir)
  errors.raise("misuse", "run:sweep", ("the run %s would wait for itself: an experiment that its own cells sweep again, "
    .. "with the same parameters, never ends"):format(dir))
end

-- A part of a run that is that run itself would have itself as a part, and so on.
local function refuse_circle(id, o)
  for _, above in ipairs(o.parents or {}) do
    if above.id == id then run.circle(above.dir) end
  end
end

-- What a part of another run read, that one depends on.
local function note_for_parent(r, read)
  local parent = r.options.within
  if not parent then return end
  for _, set in ipairs { read, r.inputs } do
    for _, x in ipairs(set.list) do
      if x.kind ~= "engine" and x.kind ~= "flag" and x.kind ~= "code" then
        parent:note_input(x.kind == "script" and "experiment" or x.kind, x.name, x.digest)
      end
    end
  end
end

---Opens the run of experiment e with resolved parameters. o: { name, fresh, replicate, root, argv, limits, within = the
---run that this one is a part of, parents = { id, dir } of all of those, outermost first }
function run.open(e, values, origins, o)
  local planned, plan = inputs.collect(function() return e.plan and e.plan(values) end) -- before anything is written: it
  -- may find the parameters wanting
  local own_tasks, replicate, root = file_tasks(plan), o.replicate or 0, o.root or "runs"
  local is_fresh = o.fresh or session.flags.scratch ~= nil -- a rehearsal takes nothing from anywhere
  local read, of_family = read_before(e, planned), family(e, values, replicate)
  local asked = identity(e, values, own_tasks, read)
  local id, known = core.run_id(e.name, asked, replicate), core.run_list(root, e.name)
  local named_dir = o.name and ("%s/%s/%s"):format(root, e.name, o.name)
  refuse_circle(id, o)
  local stale, before = stale_of(known, id, named_dir), not is_fresh and predecessor(known, of_family) or nil
  refuse_name(known, named_dir, id, stale, values, own_tasks, read)
  local about = { command = core.array(o.argv or {}), cwd = core.cwd(), host = core.host(),
    parent = o.within and o.within.id, family = of_family, before = before,
    script = e.file and { file = e.file, sha256 = core.sha256(e.text) } or nil,
    engine = { version = core.version, commit = core.commit, digest = core.engine_digest, lua = core.lua_digest() } }
  about.changed = before and core.array(differences(before, values, own_tasks, read)) or nil
  local handle, info = core.run_open { root = session.flags.scratch or root, experiment = e.name, name = o.name, params = asked, stale = stale,
    replicate = replicate, fresh = is_fresh, part = o.within ~= nil, origins = origins_json(origins), env = environment(), about = about }
  local r = setmetatable({ handle = handle, id = info.id, dir = info.dir, attempt = info.attempt,
    is_resumed = info.is_resumed, is_finished = info.is_finished, experiment = e, params = values, own_tasks = own_tasks,
    replicate = replicate, options = o, evaluating = {}, answered = {}, waiting = {}, tables = {}, plots = {}, table_order = {}, written = {}, kept_tasks = {},
    meter = meter.new(o.limits), limits = o.limits or {}, began = core.now() }, Run)
  r.task_digests = {}
  for _, task in pairs(own_tasks) do r.task_digests[task.digest] = true end
  if not info.is_resumed then r.before, r.changed = before, about.changed end
  r.donors = is_fresh and donors.none() or donors.new(known, r.dir, function(entry)
    return entry.about.family == of_family
  end, replicate == 0)
  r.origins, r.resolved = origins_json(origins), params_json(values)
  local seed = rawget(values, "seed") -- a list where the command line sweeps over it: each cell has one
  r.seed = core.seed(type(seed) == "number" and seed or 42, ("run/%d"):format(r.replicate))
  r.checkpoints = checkpoints.new(handle, info.dir, r.donors)
  r.progress = progress.new(plan, o.progress)
  open_inputs(r, read)
  note_for_parent(r, read)
  if not r.is_finished and e.text then core.run_source(handle, (e.file:gsub("^.*/", "")), e.text) end
  return r
end

---Begins the attempt of a run that is not finished.
function Run:begin()
  core.remove(core.run_path(self.handle, waits)) -- of an attempt that was killed
  self.log_file = io.open(core.run_log_path(self.handle), "a")
  self:note(("attempt %d: vegttt %s, commit %s, engine %s"):format(self.attempt, core.version, core.commit,
    core.engine_digest:sub(1, 12)))
  self.record = record.open(self.handle, self.dir, self.donors)
  self.meter:spend { usd = run.paid(self.dir) }
  for _, task in pairs(self.own_tasks) do self:keep_task(task) end
end

---Keeps the document of a task that does not come with vegttt, so that what is recorded about it can be read back.
function Run:keep_task(task)
  if task.is_shipped or self.kept_tasks[task.digest] then return end
  self.kept_tasks[task.digest] = true
  core.write(core.run_path(self.handle, ("tasks/%d.json"):format(task.id)), task.json .. "\n")
end

---Something was read that could change the result; runs that this one is a part of read it too.
function Run:note_input(kind, name, digest)
  local is_known = self.is_closed or self.is_finished or kind == "task" and self.task_digests[digest] -- in the id
  if not is_known and self.inputs:add(kind, name, digest) then
    core.run_line(self.handle, "inputs", { phase = "main", kind = kind, name = name, digest = digest })
  end
  if self.options.within then self.options.within:note_input(kind, name, digest) end
end

---A verdict that the run of --reward-from does not have; nil until there is one. Runs that this one is a part of count it.
function Run:count_not_replayed()
  self.n_not_replayed = (self.n_not_replayed or 0) + 1
  if self.options.within then self.options.within:count_not_replayed() end
end

---A cell of this run waits for the run in `dir` (is_on), or waits no more. Other processes read it (run.waiting_for), and
---so that they see all that hangs on it, runs that this one is a part of wait too.
function Run:waits(dir, is_on)
  local n = (self.waiting[dir] or 0) + (is_on and 1 or -1)
  self.waiting[dir] = n > 0 and n or nil
  local path = core.run_path(self.handle, waits)
  if next(self.waiting) then core.write(path, table.concat(errors.keys(self.waiting), "\n") .. "\n") else core.remove(path) end
  if self.options.within then self.options.within:waits(dir, is_on) end
end

---The folders of runs that cells of the run in `dir` wait for.
function run.waiting_for(dir)
  local out, ok, list = {}, pcall(core.read, ("%s/%s"):format(dir, waits))
  for line in (ok and list or ""):gmatch "[^\n]+" do out[#out + 1] = line end
  return out
end

---A new run in words: what is not as it was in the run before; nil when there was none.
function Run:news()
  if not self.before then return nil end
  if #self.changed == 0 then return ("a new run beside %s"):format(self.before) end
  return ("a new run, since %s; what it has in common with %s is taken from there"):format(
    table.concat(self.changed, ", "), self.before)
end

function Run:close()
  if self.log_file then self.log_file:close() end
  self.log_file, self.is_closed = nil, true
  if next(self.waiting) then core.remove(core.run_path(self.handle, waits)) end
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

-- Parameters that a run was given no value for and that a model record has: the value, and where it came from, in
-- params.json and in the summary.
local function resolve(r, found)
  local has_changed = false
  for name, o in pairs(r.origins) do
    local now = found[name]
    local is_open = o.origin:find "^model record" and now ~= nil
    if is_open and (o.origin ~= now.origin or core.json_encode { o.value } ~= core.json_encode { now.value }) then
      r.resolved[name], has_changed = now.value, true
      r.origins[name] = { value = now.value, type = o.type, origin = now.origin }
    end
  end
  if has_changed then core.write(core.run_path(r.handle, "params.json"), core.json_encode(r.origins) .. "\n") end
end

---A model that the script opens: it is logged, and parameters without a value have the one of its record from here on,
---in p, in params.json and in the summary. Where p names a model, that is the one.
function Run:uses_model(spec, asked, weights, model_record)
  self:log("policy", { spec = spec, weights = weights, record = model_record })
  local named = rawget(self.params, "model")
  if named ~= nil and named ~= asked or self.model_record then return end
  self.model_record = model_record
  local found = {}
  for name, o in pairs(self.origins) do
    if o.value == core.null and model_record[name] ~= nil then
      found[name] = { value = model_record[name], origin = "model record of " .. spec }
      params.take_from_record(self.params, name, model_record[name])
    end
  end
  resolve(self, found)
end

---params.json of a run that is finished.
function Run:recorded_origins()
  local path = self.dir .. "/params.json"
  local ok, origins = pcall(function() return core.json_decode(core.read(path), path) end)
  return ok and type(origins) == "table" and origins or {}
end

---What a cell of a sweep took from its model's record, the sweep's own parameters of those names had; nothing where
---cells differ. origins: of the cell's params.json.
function Run:resolve_from_cell(origins)
  local found = {}
  for name, o in pairs(origins) do
    local own = self.origins[name]
    if own and tostring(o.origin):find "^model record of " and own.origin ~= "model records of its cells" then
      local is_other = own.value ~= core.null and (own.origin ~= o.origin
        or core.json_encode { own.value } ~= core.json_encode { o.value })
      found[name] = is_other and { value = core.null, origin = "model records of its cells" }
        or { value = o.value, origin = o.origin }
    end
  end
  if not self.model_record then resolve(self, found) end
end

---Writes the tables and summary.json: the run is finished.
function Run:finish(result)
  self:keep_modules()
  self:write_tables()
  local value, unrepeatable = plain(result or {}, 0), inputs.unrepeatable(self.dir)
  self.unrepeatable = unrepeatable
  local summary = { result = value, non_finite = results.non_finite(value), params = self.resolved,
    not_replayed = self.n_not_replayed, unrepeatable = #unrepeatable > 0 and core.array(unrepeatable) or nil, inputs = inputs.list_digest(self.dir), meter = self.meter:copy(),
    wall_s = core.now() - self.began, n_new = self.progress.n_new, tables = core.array(self.table_order),
    engine = { version = core.version, commit = core.commit, digest = core.engine_digest } }
  core.run_finish(self.handle, summary)
  return summary
end

---The summary of a finished run, else nil.
function Run:stored_summary()
  if not self.is_finished then return nil end
  local path = self.dir .. "/summary.json"
  local ok, summary = pcall(function() return core.json_decode(core.read(path), path) end)
  if ok and type(summary) == "table" then
    results.revive(summary)
    local charged = type(summary.meter.charged) == "table" and summary.meter.charged or {}
    summary.meter.charged = {}
    for _, unit in ipairs(meter.units) do
      if type(charged[unit]) == "number" then summary.meter.charged[unit] = charged[unit] end
    end
    return summary
  end
  if ok then summary = "it holds no object" end
  self:close()
  errors.raise("infrastructure", "run",
    ("the finished run's result %s cannot be read (%s); move the folder away, or use --fresh"):format(path,
      tostring(summary)))
end

function Run:stored_result()
  local summary = self:stored_summary()
  return summary and summary.result
end

---Dollars that were paid in the run of a folder, over all its attempts: written at once, line by line, since a limit of
---money is of all of them.
function run.paid(dir)
  local path, usd = dir .. "/spending.jsonl", 0
  if not core.exists(path) then return 0 end
  for line in io.lines(path) do
    local ok, paid = pcall(core.json_decode, line, "spending.jsonl") -- a torn line is the last one of a kill
    if ok then usd = usd + paid.usd end
  end
  return usd
end

---[waits] f(pay), where pay(tokens) pays for tokens of the kinds of prices.lua, while the budget holds what they can cost at
---most. A model that nobody is paid for is called without more ado.
function Run:spend_on(spec, most, op, f)
  local price = prices.of(spec, self.limits, op)
  if not price then return f(function() end) end
  local usd = prices.cost(price, most, op)
  self.meter:hold("usd", usd, op)
  local ok, value = pcall(f, function(tokens)
    local paid = prices.cost(price, tokens, op)
    tokens.usd, tokens.model, tokens.attempt = paid, spec:match "^[^?]*", self.attempt
    local file = assert(io.open(core.run_path(self.handle, "spending.jsonl"), "a"))
    assert(file:write(core.json_encode(tokens) .. "\n"))
    assert(file:close())
    self.meter:spend { usd = paid }
  end)
  self.meter:release("usd", usd)
  if not ok then error(value, 0) end
  return value
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

-- A name that becomes a file's; one that is taken names two things.
local function need_name(op, name, taken)
  if type(name) ~= "string" then errors.misuse(op, "%s needs a name, not a %s", op, type(name)) end
  local problem = file_name_problem(name)
  if problem then errors.misuse(op, "%s: %s", op, problem) end
  if taken and taken[name] then errors.misuse(op, "%s: this run has '%s' already; give another name", op, name) end
end

local function need_columns(columns)
  local known = {}
  if type(columns) ~= "table" or #columns == 0 then
    errors.misuse("run:table", "run:table needs a list of column names, not %s",
      type(columns) == "table" and "an empty one" or "a " .. type(columns))
  end
  for i, c in ipairs(columns) do
    if type(c) ~= "string" then errors.misuse("run:table", "run:table: column %d is a %s, not a name", i, type(c)) end
    if known[c] then errors.misuse("run:table", "run:table: two columns are named '%s'", c) end
    known[c] = true
  end
end

function Run:table(name, columns)
  need_name("run:table", name, self.tables)
  need_columns(columns)
  local t = tables.new(self, name, columns)
  self.table_order[#self.table_order + 1] = name
  self.tables[name] = t
  return t
end

function Run:plot(name, spec)
  need_name("run:plot", name, self.plots)
  local path = plots.write(self, name, spec)
  self.plots[name] = true
  return path
end

---Any value as DIR/NAME.json, or weights as a PEFT folder DIR/NAME/: its path. nil for the model's own weights, of which
---a run keeps no copy.
function Run:save(name, value)
  need_name("run:save", name)
  if type(value) == "table" and getmetatable(value) and getmetatable(value).__name == "vt.Weights" then
    if value == value.model.base then
      core.err(("vegttt: run:save '%s': these weights are the model %s itself; there is nothing to write\n"):format(name,
        value.model.spec))
      return nil
    end
    local path = core.run_path(self.handle, name)
    self.checkpoints:save_as(value, path)
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

local public = { "log", "table", "statistics", "plot", "save", "sweep", "kernels", "rng", "meter", "stage" }
local runs = setmetatable({}, { __mode = "k" }) -- view -> run
local view_methods = {}
local View = closed.class("vt.Run", "a run", { "id", "dir", "params", "seed" }, view_methods)
View.__tostring = Run.__tostring
for _, name in ipairs(public) do
  view_methods[name] = function(view, ...) return Run[name](runs[view], ...) end
end
local Meter, Charged, Spent = closed.record_class("run:meter()", { "charged", "spent" }),
  closed.record_class("run:meter().charged", meter.units), closed.record_class("run:meter().spent", meter.units)
function view_methods.meter(view)
  local m = runs[view].meter:copy()
  setmetatable(m.charged, Charged)
  setmetatable(m.spent, Spent)
  return setmetatable(m, Meter)
end

function Run.script_view(r)
  local view = setmetatable({ id = r.id, dir = r.dir, params = r.params, seed = r.seed }, View)
  runs[view] = r
  return view
end

run.class, run.plain = Run, plain -- sweep.lua adds run:sweep, draw.lua run:kernels, run_statistics.lua run:statistics

return run
