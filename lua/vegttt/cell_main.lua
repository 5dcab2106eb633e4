-- SPDX-License-Identifier: Apache-2.0
--
-- A cell of a sweep, in the Lua state that was made for it (cell.lua is the other side): the experiment is made, its run
-- opened and carried out, as main.lua does it for a script that is started alone, and what became of it reported. What
-- the process has one of is asked of the parent.
local attempt = require "vegttt.attempt"
local closure = require "vegttt.closure"
local cell = require "vegttt.cell"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local inputs = require "vegttt.inputs"
local params = require "vegttt.params"
local run = require "vegttt.run"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
require "vegttt" -- a run's calls, also for a main that has no other use for it

local cell_main = {}

-- The experiment as spec says how (cell.experiment).
local function make(spec)
  inputs.use_module_places(spec.places)
  if spec.packed then
    local read, fields = inputs.collect(closure.unpack, spec.packed, experiment.environment(core.globals))
    local e = experiment.new(fields)
    read:add("code", e.name, spec.digest)
    e.inputs = read
    return e
  end
  local e = experiment.load(spec.file)
  if core.sha256(e.text) ~= spec.sha256 then
    errors.usage("the experiment %s was changed while its sweep ran; run the sweep again", spec.file)
  end
  if cell.shape(e) ~= spec.shape then
    errors.misuse("run:sweep", "run:sweep: the experiment of %s was changed after it was loaded, and a cell runs it as the "
      .. "file says; make another one with vt.experiment", spec.file)
  end
  return e
end

-- ── the run that this one is a part of ───────────────────────────────────────────────────────────────────────────────

local Progress = {}
Progress.__index = Progress
for _, name in ipairs { "plan_samples", "plan_evals", "add_samples", "add_update" } do
  Progress[name] = function(_, ...) core.cell_ask("count", name, ...) end
end

function Progress:add_eval(line, is_recorded)
  core.cell_ask("count", "add_eval", { status = line.status, confirms = line.confirms, correct = line.correct,
    speedup = line.speedup, task = line.task }, is_recorded)
end

function Progress:doing(words)
  local i = core.cell_ask("doing", words)
  return function() core.cell_ask("done", i) end
end

local Parent = {}
Parent.__index = Parent
function Parent:note_input(kind, name, digest) core.cell_ask("note", kind, name, digest) end
function Parent:waits(dir, is_on) core.cell_ask("waits", dir, is_on) end
function Parent:count_not_replayed() core.cell_ask "not_replayed" end

-- ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Does the run in `dir` wait, by way of others, for one that this cell is a part of?
local function waits_for_us(dir, parents, seen)
  if seen[dir] then return false end
  seen[dir] = true
  for _, above in ipairs(parents) do
    if above.dir == dir then return true end
  end
  for _, other in ipairs(run.waiting_for(dir)) do
    if waits_for_us(other, parents, seen) then return true end
  end
  return false
end

local busy_look_s = 0.5

-- [waits] Until it is worth another look whether the run in `dir` is free. Which waits for which stands in the runs' folders
-- meanwhile; each writes before it reads, so of those that wait in a circle one finds it.
local function wait_for(dir, within, parents)
  within:waits(dir, true)
  local ok, problem = pcall(function()
    if waits_for_us(dir, parents, {}) then run.circle(dir) end
    sched.gate "run:sweep"
    local later = sched.future()
    sched.after(busy_look_s, function() later:settle(true) end)
    sched.await(later, "run:sweep")
  end)
  within:waits(dir, false)
  if not ok then error(problem, 0) end
end

-- [waits] The opened run. One that somebody else is writing, another sweep or another cell of this one, is waited for: its
-- result is ours too.
local function open(spec, e)
  local is_said = false
  local values, origins = params.resolve(e.params, spec.given, "sweep")
  local within = setmetatable({ id = spec.parents[#spec.parents].id, options = {} }, Parent)
  while true do
    local ok, r = pcall(attempt.open, e, values, origins, { root = spec.root, replicate = spec.replicate,
      fresh = spec.fresh, limits = spec.limits, within = within, parents = spec.parents, argv = spec.argv,
      progress = setmetatable({}, Progress) })
    if ok then return r end
    local busy = errors.is(r) and r.code == "EBUSY" and r.message:match "^the run (.+) is being written by "
    if not busy then error(r, 0) end
    if not is_said then core.err(("vegttt: the cell %s waits: %s\n"):format(spec.name, r.message:match "^[^;]*")) end
    is_said = true
    wait_for(busy, within, spec.parents)
  end
end

local function report(r, status, fields)
  fields.status, fields.dir = status, r and r.dir
  return fields
end

-- Runs fn as the main task, until the time limit of the process.
local function run_task(spec, fn, r)
  local limit = spec.limit and { at = spec.limit.at, error = errors.new(spec.limit.error) }
  return sched.run(fn, r, { limit = limit, is_rehearsal = session.flags.scratch ~= nil })
end

local function carry_out(spec)
  local e = make(spec.experiment)
  local r
  local status, problem = run_task(spec, function() r = open(spec, e) end)
  if status ~= "done" then return report(r, status, { error = problem and cell.plain_error(problem) }) end
  local stored = r:stored_summary()
  if stored then
    local ok, problem = pcall(r.meter.check, r.meter, "charged", stored.meter.charged.rollouts or 0, "run:sweep")
    if not ok then
      r:close()
      return report(r, "failed", { error = cell.plain_error(problem) })
    end
    for _ = 1, stored.not_replayed or 0 do core.cell_ask "not_replayed" end
    r:close()
    return report(r, "done", { summary = core.read(r.dir .. "/summary.json"), charged = stored.meter.charged, spent = {},
      origins = r:recorded_origins() })
  end
  r:begin()
  local value
  status, value = attempt.finish(r, run_task(spec, attempt.main_of(r), r))
  return report(r, status, { summary = status == "done" and core.read(r.dir .. "/summary.json") or nil,
    error = status == "failed" and cell.plain_error(value) or nil, charged = r.meter.charged, spent = r.meter.spent,
    origins = r.origins })
end

function cell_main.main(spec)
  function core.out(text) core.cell_ask("out", text) end
  function core.err(text) core.cell_ask("err", text) end
  globals.install()
  session.flags = spec.flags
  spec.places.script = spec.experiment.file or spec.places.script
  inputs.take_places(spec.places)
  local ok, result = xpcall(carry_out, sched.wrap_error, spec)
  return ok and result or { status = "failed", error = cell.plain_error(result) }
end

return cell_main
