-- SPDX-License-Identifier: Apache-2.0
--
-- Reading recorded runs back: weights by reference, groups of rollouts with their verdicts, and runs with what they say of
-- themselves. What is read back is of the classes that a live run has, so that a script that works on the one works on
-- the other.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local csv = require "vegttt.csv"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
local index = require "vegttt.rollout_index"
local inputs = require "vegttt.inputs"
local policy = require "vegttt.policy"
local prompts = require "vegttt.prompts"
local run_files = require "vegttt.run_files"
local sched = require "vegttt.sched"

local recorded = {}

-- Folders that match a glob with * in any component; `latest` is a second name of a run, and no * means it.
local function glob(pattern)
  local found = { pattern:sub(1, 1) == "/" and "" or "." }
  for part in pattern:gmatch "[^/]+" do
    local next_found = {}
    local is_pattern = part:find("*", 1, true)
    local lua_pattern = "^" .. part:gsub("[%-%.%+%[%]%(%)%$%^%%%?]", "%%%0"):gsub("%*", ".*") .. "$"
    for _, dir in ipairs(found) do
      if not is_pattern then
        if core.exists(dir .. "/" .. part) then next_found[#next_found + 1] = dir .. "/" .. part end
      else
        for _, name in ipairs(core.list(dir)) do
          if name ~= "latest" and name:find(lua_pattern) then -- a link to one of the others
            next_found[#next_found + 1] = dir .. "/" .. name
          end
        end
      end
    end
    found = next_found
  end
  return found
end

local function plain_path(path)
  while path:find "^%./" do path = path:sub(3) end -- a glob of a glob's finding has two
  return path
end

local function own_dir()
  local task = sched.current()
  return task and task.run and plain_path(task.run.dir) or nil
end

-- ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- [waits] The policy of a run: the model that it was asked for, else the one that it opened.
local function policy_of(dir)
  local p = run_files.params(dir)
  local spec = p.model and p.model.value
  if not spec then
    run_files.lines(dir, "metrics.jsonl", function(line) spec = spec or line.kind == "policy" and line.spec end)
  end
  return policy.open(spec or "default")
end

-- [waits] The weights of an id in a run: those that its model begins with, or a state that the run kept.
local function weights_of(dir, id, what)
  local model = policy_of(dir).model
  for _, w in ipairs { model.start, model.base } do
    if w.id == id then return w end
  end
  local w = policy.load(model, ("%s/ckpt/%s"):format(dir, id))
  if w then return w end
  inputs.note_unrepeatable("the state of " .. what) -- its record is there, and the state may be again
  errors.raise("usage", "vt.weights", ("%s: the state of weights %s is not in %s/ckpt"):format(what, id:sub(1, 12), dir))
end

function policy.of_record.weights(from) return weights_of(from.dir, from.weights, "a recorded group") end
function policy.of_record.prompt_ids(from, t)
  return policy.prompt_tokens(policy_of(from.dir).model, t.prompt, "a recorded group")
end

-- The run that a reference names; "latest" is never the run that asks, nor a part of it.
local function run_of(what, own)
  if what ~= "latest" then return run_files.find(what) end
  local runs = run_files.all()
  for i = #runs, 1, -1 do
    if not runs[i].parent and runs[i].dir ~= own then return runs[i].dir end
  end
  errors.raise("usage", "vt.weights", "there is no earlier run below runs/ that \"latest\" could name")
end

-- The id of a snapshot, and the run it is in.
local function snapshot_of(ref, own)
  local what, name = ref:match "^(.*)@(.+)$"
  local dir, names, id = run_of(what, own), {}, nil
  run_files.lines(dir, "journal.jsonl", function(line)
    local found = line.key:match "^snapshot/(.*)$"
    if found then names[#names + 1] = found end
    if found == name then id = line.value.id end
  end)
  if id then return id, dir end
  errors.raise("usage", "vt.weights", ("there is no snapshot '%s' in %s; it has %s"):format(name, dir,
    #names > 0 and table.concat(names, ", ") or "none"))
end

-- "absent" where there is no such run or snapshot.
local function snapshot_digest(ref, own)
  local ok, id = pcall(snapshot_of, ref, own)
  return ok and id or "absent"
end
inputs.declare("weights", "the snapshot %s", snapshot_digest)

---vt.weights("runs/boa/X@step2"), "latest@step1" or vt.weights("FOLDER of an adapter", { model = SPEC }); weights of a run that
---are of another model than the one given are refused. [waits]
function recorded.weights(ref, o)
  o = errors.options("vt.weights", o, { model = "string" })
  if type(ref) ~= "string" then
    errors.misuse("vt.weights", "vt.weights needs \"RUN@SNAPSHOT\" or an adapter folder")
  end
  inputs.note_file(ref .. "/adapter_config.json")
  if not ref:find "@" or core.exists(ref .. "/adapter_config.json") then
    if not core.exists(ref .. "/adapter_config.json") then
      errors.raise("usage", "vt.weights", ("%s is no adapter folder"):format(ref))
    end
    return policy.open((o.model or core.default_model) .. "+" .. ref):start()
  end
  inputs.note("weights", ref, snapshot_digest(ref, own_dir()))
  local id, dir = snapshot_of(ref, own_dir())
  local w = weights_of(dir, id, ref)
  if o.model and policy.open(o.model).model.base.id ~= w.model.base.id then
    errors.raise("usage", "vt.weights", ("the weights %s are of the model %s, not of %s; name that one with --model"):format(ref, w.model.spec, o.model))
  end
  return w
end

-- ── rollouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function new_group(dir, line, task)
  local text = run_files.blob(dir, line.prompt)
  local prompt = text and prompts.of(task, core.json_decode(text, "a recorded prompt")) or task:prompt()
  return setmetatable({ task = task, prompt = prompt, draw = line.draw, step = line.step, place = line.place, seen = line.seen, run = dir,
    dropped = line.dropped, recorded = { dir = dir, weights = line.weights, prompt_sha = not text and line.prompt_sha or nil } }, policy.Group)
end

-- Fields of a sample that are read from its line when somebody asks, all of them at once.
local of_line = { "text", "code", "tokens", "logprobs", "logprobs_behaviour" }
for _, name in ipairs(of_line) do
  policy.of_record[name] = function(from, s)
    local at = rawget(s, "at")
    if not at or name == "code" and not s.code_sha then return nil end
    local line = index.line(from.dir, "rollouts.jsonl", at, s.key)
    line.logprobs, line.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
    for _, other in ipairs(of_line) do rawset(s, other, line[other]) end
    return line[name]
  end
end

-- fn(...) with a collector that waits longer: nothing of a hundred thousand objects that all stay is garbage, and looking
-- for some at every doubling costs as much as making them.
local function seldom_collected(fn, ...)
  local pause = collectgarbage("setpause", 1000)
  local results = table.pack(pcall(fn, ...))
  collectgarbage("setpause", pause)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function read_groups(dir)
  local x, groups, verdicts, task_of = index.of(dir), {}, {}, run_files.tasks_of(dir)
  for n, about in ipairs(x.groups) do groups[n] = new_group(dir, about, task_of(about.task)) end
  for n, v in ipairs(x.verdicts) do verdicts[n] = eval.of_index(v, dir) end
  local without_code = {} -- by group: the verdict of its samples that hold no code
  for n, g in ipairs(groups) do without_code[n] = eval.of_record(nil, g.task) end
  index.each(x, function(n, verdict, _, s)
    local g = groups[n]
    s.result = verdicts[verdict] or not s.code_sha and without_code[n] or nil
    g[#g + 1] = policy.recorded_sample(s)
  end, groups)
  return groups
end

local function groups_of(dir) return seldom_collected(read_groups, dir) end

local function has_rollouts(dir)
  local file <close> = io.open(dir .. "/rollouts.jsonl", "r")
  return file and file:read(1) ~= nil
end

-- Folders with rollouts that a pattern names, those of runs below it too; not own_dir: a run is no input of itself. latest:
-- those of the newest run that has some. What is no path names runs as on the command line.
local function dirs_of(pattern, own_dir)
  local out, runs = {}, pattern == "latest" and run_files.all() or {}
  for i = #runs, 1, -1 do
    if not runs[i].parent and runs[i].dir ~= own_dir then out = dirs_of(runs[i].dir, own_dir) end
    if #out > 0 then return out end
  end
  local folders = glob(pattern)
  if #folders == 0 then
    for i, r in ipairs(run_files.matching(pattern, run_files.all())) do folders[i] = r.dir end
  end
  for _, dir in ipairs(folders) do
    for _, d in ipairs(core.exists(dir .. "/rollouts.jsonl") and { dir } or glob(dir .. "/*")) do
      d = plain_path(d)
      if d ~= own_dir and has_rollouts(d) then out[#out + 1] = d end
    end
  end
  return out
end

-- What a pattern names, files and contents: a run that came in between, or went on, is another input.
local function rollouts_digest(pattern, own_dir)
  local rows = {}
  for i, dir in ipairs(dirs_of(pattern, own_dir)) do
    rows[i] = table.concat({ dir, core.file_digest(dir .. "/rollouts.jsonl") or "",
      core.file_digest(dir .. "/evals.jsonl") or "", inputs.folder_digest(dir .. "/tasks") }, "\0")
  end
  return core.sha256(table.concat(rows, "\n"))
end
inputs.declare("rollouts", "the recorded rollouts %s", rollouts_digest)

---vt.rollouts("runs/best_of_n/*") -> groups, by run, place and task.
function recorded.rollouts(pattern)
  local patterns = type(pattern) == "table" and pattern or { pattern }
  local out = {}
  for _, p in ipairs(patterns) do
    inputs.note("rollouts", p, rollouts_digest(p, own_dir()))
    for _, d in ipairs(dirs_of(p, own_dir())) do
      local found = groups_of(d)
      table.move(found, 1, #found, #out + 1, out)
    end
  end
  if #out == 0 then
    errors.raise("usage", "vt.rollouts", ("no recorded rollouts match %s"):format(table.concat(patterns, ", ")))
  end
  return out
end

-- ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

local RecordedRun = closed.class("vt.RecordedRun", "a recorded run", { "dir", "experiment", "name", "id", "status",
  "params", "summary", "tables", "cells", "meter", "before", "begun_s", "wall_s" })
function RecordedRun:__tostring() return ("recorded run %s"):format(self.dir) end

local function tables_of(dir)
  local out, names = {}, {}
  for _, file in ipairs(core.list(dir .. "/tables")) do
    local name = file:match "^(.*)%.csv$"
    if name then out[name], names[#names + 1] = csv.records(core.read(dir .. "/tables/" .. file)), name end
  end
  return closed.record("tables", out, names)
end

local function params_of(dir)
  local out, declared = {}, run_files.params(dir)
  for name, o in pairs(declared) do
    if o.value ~= core.null then out[name] = o.value end
  end
  return closed.record("the run's params", out, errors.keys(declared))
end

local function read_run(dir, about)
  local summary = run_files.summary(dir)
  return setmetatable({ dir = dir, experiment = about.experiment, name = dir:match "[^/]+$", id = about.id,
    status = run_files.status(dir), params = params_of(dir), summary = summary
    and closed.record("the run's summary", summary.result, errors.keys(summary.result)),
    meter = summary and summary.meter, wall_s = summary and summary.wall_s, tables = tables_of(dir), cells = {},
    before = about.before, begun_s = (tonumber(about.t) or 0) / 1e9 }, RecordedRun)
end

-- One digest of everything that read_run takes from a folder.
local function run_digest(dir)
  local parts = { dir }
  for _, name in ipairs { "run.json", "params.json", "summary.json" } do
    parts[#parts + 1] = core.file_digest(dir .. "/" .. name) or "none"
  end
  parts[#parts + 1] = inputs.folder_digest(dir .. "/tables")
  return table.concat(parts, "\0")
end

-- Folders of runs that a pattern names: paths, else as the command line has it ("boa/*", an experiment, a stamp).
local function run_dirs(pattern, all)
  local out = {}
  for _, dir in ipairs(glob(pattern)) do
    for _, d in ipairs(core.exists(dir .. "/run.json") and { dir } or glob(dir .. "/*")) do
      if core.exists(d .. "/run.json") then out[#out + 1] = plain_path(d) end
    end
  end
  if #out == 0 then
    for i, r in ipairs(run_files.matching(pattern, all)) do out[i] = r.dir end
  end
  return out
end

-- The runs that a pattern names, their parts below them, and one digest of all that they say.
local function read_runs(pattern, own)
  local out, by_id, rows, all = {}, {}, {}, run_files.all()
  for _, d in ipairs(run_dirs(pattern, all)) do
    local about = d ~= own and run_files.json(d, "run.json")
    if about then
      local r = read_run(d, about)
      out[#out + 1], rows[#rows + 1] = r, run_digest(d)
      if r.id then by_id[r.id] = r end
    end
  end
  for _, entry in ipairs(all) do
    local parent = entry.parent and by_id[entry.parent]
    if parent then
      parent.cells[#parent.cells + 1] = read_run(entry.dir, run_files.json(entry.dir, "run.json") or {})
      rows[#rows + 1] = run_digest(entry.dir)
    end
  end
  return out, core.sha256(table.concat(rows, "\n"))
end
inputs.declare("runs", "the recorded runs %s", function(pattern, own) return (select(2, read_runs(pattern, own))) end)

---vt.runs("runs/boa/*") -> recorded runs, in the order of their names.
function recorded.runs(pattern)
  if type(pattern) ~= "string" then errors.misuse("vt.runs", "vt.runs needs a glob, not a %s", type(pattern)) end
  local out, digest = read_runs(pattern, own_dir())
  inputs.note("runs", pattern, digest)
  if #out == 0 then core.err(("vegttt: no recorded run matches %s\n"):format(pattern)) end
  return out
end

return recorded
