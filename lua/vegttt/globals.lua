-- SPDX-License-Identifier: Apache-2.0
--
-- What scripts find in the global table: Lua's own library with six changes. What a script reads (files, modules, the
-- environment) is noted as an input of its run, os.exit is gone (a run ends by returning or raising), print goes to the run's log and to standard output (standard error where --json has that for itself),
-- math.random draws from the run's stream, coroutine functions pass engine waits outwards, and there is no debug library
-- beyond debug.traceback.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
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

-- ── what scripts read ────────────────────────────────────────────────────────────────────────────────────────────────

-- A file is an input unless the run wrote it itself.
local function note_file(path)
  local run = current_run()
  if type(path) ~= "string" then return end
  if run and (run.written[path] or path:sub(1, #run.dir + 1) == run.dir .. "/") then return end
  inputs.note_file(path)
end

local function open(path, mode)
  local run = current_run()
  local m = type(mode) == "string" and mode or "r"
  if m:find "^r" or m:find "^a%+" then note_file(path) end
  if run and type(path) == "string" and m:find "^w" then run.written[path] = true end
  return io.open(path, mode)
end

local function reading(fn)
  return function(path, ...)
    note_file(path)
    return fn(path, ...)
  end
end

local function getenv(name)
  local value = os.getenv(name)
  inputs.note("env", name, core.sha256(value or ""))
  return value
end

local function watch_reads(g)
  g.io.open, g.io.lines, g.io.input = open, reading(io.lines), reading(io.input)
  g.dofile, g.loadfile = reading(dofile), reading(loadfile)
  g.os.getenv, g.require = getenv, inputs.require
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
  watch_reads(g)
  sched.install(g.coroutine)
  g.debug = { traceback = debug.traceback }
end

return globals
