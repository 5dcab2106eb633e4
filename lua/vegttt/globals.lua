-- SPDX-License-Identifier: Apache-2.0
--
-- What scripts find in the global table: Lua's own library with six changes. What a script reads is noted as
-- an input of its run (reads.lua), os.exit is gone (a run ends by returning or raising), print goes to the run's log and
-- to standard output (standard error where --json has that for itself), math.random draws from the run's stream,
-- coroutine functions pass engine waits outwards, and there is no debug library beyond debug.traceback.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local reads = require "vegttt.reads"
local rng = require "vegttt.rng"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local globals = {}

local function current_run()
  local task = sched.current()
  return task and task.run
end

local function print_line(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  local line = table.concat(parts, "\t")
  local run = current_run()
  if run then run:note(line) end
  local say = session.flags.json and core.err or core.out
  say(line .. "\n")
end

local function random(lo, hi)
  local run = current_run()
    or errors.misuse("math.random", "math.random draws from the run's stream; call it inside main")
  run.random_stream = run.random_stream or rng.new(run.seed, "math.random")
  return run.random_stream:random(lo, hi)
end

---Changes the global table of scripts in place; the Lua half has its own.
function globals.install()
  local g = core.globals
  g.print = print_line
  g.math.random = random
  g.math.randomseed = function()
    errors.misuse("math.randomseed",
      "math.randomseed: the stream comes from the run's seed; use --seed or run:rng(label)")
  end
  g.os.exit = nil
  reads.install(g)
  sched.install(g.coroutine)
  g.debug = { traceback = function(...)
    inputs.note_place()
    return debug.traceback(...)
  end }
end

return globals
