-- SPDX-License-Identifier: Apache-2.0
--
-- What scripts find in the global table: Lua's own library with seven changes. What a script reads is noted as
-- an input of its run (reads.lua), and so is its place when it catches an error that names it, os.exit raises (a run ends by returning or raising), print goes to the run's log and
-- to standard output (standard error where --json has that for itself), math.random draws from the run's stream,
-- coroutine functions pass engine waits outwards, and there is no debug library beyond debug.traceback.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local fresh = require "vegttt.fresh"
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

-- What a script catches may say in which file it was raised.
local function has_place(e)
  local message = errors.is(e) and e.message or e
  return type(message) == "string" and message:find ":%d+:" ~= nil or errors.is(e) and (e.traceback or "") ~= ""
end

local function caught(ok, ...)
  if not ok and has_place(...) then inputs.note_place() end
  return ok, ...
end

local function watch_errors(g)
  local resume = g.coroutine.resume
  g.pcall = errors.surface(function(...) return caught(pcall(...)) end)
  g.coroutine.resume = function(...) return caught(resume(...)) end
  g.xpcall = errors.surface(function(fn, handler, ...)
    if type(handler) ~= "function" then return caught(xpcall(fn, handler, ...)) end
    return xpcall(fn, function(e)
      caught(false, e)
      return handler(e)
    end, ...)
  end)
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
  g.os.exit = function()
    errors.misuse("os.exit", "os.exit: a script does not end the process; it ends by returning from main or by error \"why\"")
  end
  reads.install(g)
  sched.install(g.coroutine)
  watch_errors(g)
  g.debug = { traceback = function(...)
    inputs.note_place()
    return debug.traceback(...)
  end }
  fresh.note_globals()
end

return globals
