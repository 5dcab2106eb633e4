-- SPDX-License-Identifier: Apache-2.0
--
-- What a script reads of the world, and one rule for all of it: a run that is finished answers only for what can be
-- compared.
--
--   compared      files (io.open, io.lines, io.input, dofile, loadfile, package.loadlib, and the file that os.rename or
--                 os.remove found), modules, environment variables, standard input: each is noted with its digest, and
--                 a run whose inputs are not what they were is run again.
--   not           the clock (os.time, os.date, os.clock), commands (os.execute, io.popen), devices, pipes and what the
--                 kernel shows below /proc and /sys: these are noted by name. Such a run goes on where it was cut off, and its
--                 record can be read; but when it is finished the same command runs it again, and says why.
--   a function of its arguments   os.date and os.time with a time, os.difftime, math.random (the run's stream).
--
-- Standard input is read whole when a script first asks for it, 64 MiB at most; its script reads a copy. What a run wrote
-- itself is no input.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local sched = require "vegttt.sched"

local reads = {}

local function current_run()
  local task = sched.current()
  return task and task.run
end

-- ── standard input ───────────────────────────────────────────────────────────────────────────────────────────────────

local max_stdin = 64 << 20
local stdin -- { text, digest, is_cut }

local function read_stdin()
  if not stdin then
    local text = io.stdin:read(max_stdin + 1) or ""
    stdin = { text = text, digest = core.sha256(text), is_cut = #text > max_stdin }
  end
  if stdin.is_cut then
    errors.usage("standard input is longer than %d MiB; put it into a file and let the script open that", max_stdin >> 20)
  end
  return stdin
end

inputs.declare("stdin", "standard input", function() return read_stdin().digest end)

local function copy_of_stdin()
  local s, file = read_stdin(), io.tmpfile()
  inputs.note("stdin", "", s.digest)
  file:write(s.text)
  file:seek "set"
  return file
end

local shared -- what io.stdin is for scripts

local function shared_stdin()
  shared = shared or copy_of_stdin()
  inputs.note("stdin", "", stdin.digest)
  return shared
end

local is_stdin = { ["/dev/stdin"] = true, ["/dev/fd/0"] = true, ["/proc/self/fd/0"] = true }

-- The default input is standard input until a script sets another.
local function use_recorded_stdin()
  if io.input() == io.stdin then io.input(shared_stdin()) end
end

-- ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function is_own(path)
  local run = current_run()
  return run and (run.written[path] or path:sub(1, #run.dir + 1) == run.dir .. "/")
end

local function note_file(path)
  if type(path) == "string" and not is_own(path) then inputs.note_file(path) end
end

local function note_written(path)
  local run = current_run()
  if run and type(path) == "string" then run.written[path] = true end
end

local function open(path, mode)
  local m = type(mode) == "string" and mode or "r"
  if m:find "^r" and is_stdin[path] then return copy_of_stdin() end
  if m:find "^r" or m:find "^a%+" then note_file(path) end
  if m:find "^w" then note_written(path) end
  return io.open(path, mode)
end

local function lines(path, ...)
  if path == nil then use_recorded_stdin() end
  if is_stdin[path] then return copy_of_stdin():lines(...) end
  note_file(path)
  return io.lines(path, ...)
end

local function read(...)
  use_recorded_stdin()
  return io.read(...)
end

local function input(file)
  if file == nil then use_recorded_stdin() end
  if is_stdin[file] then file = copy_of_stdin() end
  note_file(file)
  return io.input(file)
end

local function output(file)
  note_written(file)
  return io.output(file)
end

local function load_file(path, ...)
  if path == nil or is_stdin[path] then
    inputs.note("stdin", "", read_stdin().digest)
    return load(stdin.text, "=stdin", ...)
  end
  note_file(path)
  return loadfile(path, ...)
end

local function do_file(path)
  if path == nil or is_stdin[path] then
    local chunk, problem = load_file(path)
    if not chunk then error(problem, 0) end
    return chunk()
  end
  note_file(path)
  return dofile(path)
end

local function load_library(path, name)
  note_file(path)
  return package.loadlib(path, name)
end

local function rename(from, to)
  note_file(from)
  note_written(to)
  return os.rename(from, to)
end

local function remove(path)
  note_file(path)
  return os.remove(path)
end

-- ── what cannot be compared ──────────────────────────────────────────────────────────────────────────────────────────

-- fn, noted by name when it is called without its n-th argument; without n always.
local function unrepeatable(name, fn, n)
  return function(...)
    if not n or select(n, ...) == nil then inputs.note_unrepeatable(name) end
    return fn(...)
  end
end

local function getenv(name)
  local value = os.getenv(name)
  inputs.note("env", name, core.sha256(value or ""))
  return value
end

---Changes io, os, package and the loaders of the globals `g` of scripts in place.
function reads.install(g)
  local function set(t, functions)
    for name, fn in pairs(functions) do t[name] = errors.surface(fn) end
  end
  set(g.io, { open = open, lines = lines, read = read, input = input, output = output,
    popen = unrepeatable("io.popen", core.popen) })
  g.io.stdin = nil
  setmetatable(g.io, { __index = function(_, k) return k == "stdin" and shared_stdin() or nil end })
  set(g.os, { execute = unrepeatable("os.execute", core.execute), time = unrepeatable("os.time", os.time, 1),
    date = unrepeatable("os.date", os.date, 2), clock = unrepeatable("os.clock", os.clock), getenv = getenv,
    rename = rename, remove = remove })
  set(g, { dofile = do_file, loadfile = load_file, require = inputs.require })
  g.package = setmetatable({ loadlib = errors.surface(load_library) }, { __index = package, __newindex = package })
end

return reads
