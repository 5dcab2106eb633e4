-- SPDX-License-Identifier: Apache-2.0
--
-- What a script reads of the world, and one rule for all of it: a run that is finished answers only for what can be
-- compared.
--
--   compared      files (io.open, io.lines, io.input, dofile, loadfile, package.loadlib, package.searchpath, the file that
--                 os.rename or os.remove found, and what a write that failed met), modules, environment variables,
--                 standard input, the time zone (os.date in local time, os.time of a date): each is noted with its
--                 digest, also what is not there, and a run whose inputs are not what they were is run again.
--   not           the clock (os.time, os.date, os.clock), commands (os.execute, io.popen), os.tmpname, addresses
--                 (tostring or %p of what has no text of its own), devices, pipes and what the kernel shows in /proc and
--                 /sys by whatever name: these are noted by name. Such a run goes on where it was cut off, and its record
--                 can be read; but when it is finished the same command runs it again, and says why.
--   a function of its arguments   os.date of a time in UTC, os.difftime, math.random (the run's stream), and pairs, which
--                 goes through numbers, then texts, in order.
--   refused       another locale than C: numbers would be written and read in another way.
--
-- Not seen is the order of next and of keys that are tables or functions, which is Lua's own and another every time.
-- Standard input is read whole when a script first asks for it, 64 MiB at most; its script reads a copy. What a run wrote
-- itself is no input; a file that it appended to is one, as it was before, from when it asks for its place in it or reads
-- it.
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

local function take_stdin()
  if not stdin and core.in_cell then
    stdin = core.cell_ask "stdin"
  elseif not stdin then
    local text = io.stdin:read(max_stdin + 1) or ""
    stdin = { text = text, digest = core.sha256(text), is_cut = #text > max_stdin }
  end
  return stdin
end

reads.stdin = take_stdin

local function read_stdin()
  if take_stdin().is_cut then
    errors.usage("standard input is longer than %d MiB; put it into a file and let the script open that", max_stdin >> 20)
  end
  return stdin
end

inputs.declare("stdin", "standard input", function() return take_stdin().digest end)

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

-- By where it leads: a run's folder may be left by "..", and a link in it may lead elsewhere.
local function is_own(path)
  local run, place = current_run(), core.real_path(path)
  if not run or not place then return false end
  run.real_dir = run.real_dir or core.real_path(run.dir)
  return run.written[place] or run.real_dir and place:sub(1, #run.real_dir + 1) == run.real_dir .. "/"
end

-- By where it leads: what a file was before this process first opened it to write into what is there, false for what
-- cannot be compared. What is read of it later is made of that.
local before_write = {}

local function note_as_before(path, digest)
  if digest then inputs.note("file", path, digest) else inputs.note_unrepeatable(path) end
end

local function note_file(path)
  if type(path) ~= "string" or is_own(path) then return end
  local digest = before_write[core.real_path(path) or ""]
  if digest ~= nil then note_as_before(path, digest) else inputs.note_file(path) end
end

-- The file `path` is about to be written into, with what it holds kept: what it is now, or was before the first time.
local function keep_before(path)
  local place = type(path) == "string" and not is_own(path) and core.real_path(path)
  if not place then return nil end
  if before_write[place] == nil then before_write[place] = inputs.file_digest(path) or false end
  return { path = path, digest = before_write[place] }
end

local function note_written(path)
  local run, place = current_run(), type(path) == "string" and core.real_path(path)
  if run and place then run.written[place] = true end
end

-- What a call that writes to `path` gives. That it could not is read of the world: of the file, and of its folder.
local function writing(path, ...)
  if (...) then
    note_written(path)
  elseif type(path) == "string" then
    note_file(path)
    note_file(path:match "^(.*)/[^/]*$" or ".")
  end
  return ...
end

local appended = setmetatable({}, { __mode = "k" }) -- a file opened to append -> its path and the digest that it had

-- The place in a file that is appended to says how long it was; that in a standard stream, where the stream leads and
-- what others wrote there.
local function note_place(file)
  local x = appended[file]
  if x then note_as_before(x.path, x.digest) end
  if file == io.stdout or file == io.stderr then inputs.note_unrepeatable "the place in a standard stream" end
end

local function watch_places()
  local methods = getmetatable(io.stdout).__index
  local seek = methods.seek
  function methods.seek(file, ...)
    note_place(file)
    return seek(file, ...)
  end
end

local function open(path, mode)
  local m = type(mode) == "string" and mode or "r"
  if m:find "^r" and is_stdin[path] then return copy_of_stdin() end
  if m:find "^w" then return writing(path, io.open(path, mode)) end
  local before = (m:find "^a" or m:find "^r.*%+") and keep_before(path)
  if m:find "^r" or m:find "^a.*%+" then note_file(path) end
  local file, problem, code = io.open(path, mode)
  if file and before then appended[file] = before elseif before then note_file(path) end
  return file, problem, code
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
  if type(file) ~= "string" then return io.output(file) end
  local opened, problem = io.open(file, "w")
  writing(file, opened)
  if not opened then error(problem, 0) end
  return io.output(opened)
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

-- Every place that is looked at, those too where nothing is.
local function search_path(name, path, separator, replacement)
  local found, problem = package.searchpath(name, path, separator, replacement)
  separator, replacement = separator or ".", replacement or "/"
  local at = separator == "" and name or name:gsub(separator:gsub("%p", "%%%0"), (replacement:gsub("%%", "%%%%")))
  for place in path:gmatch "[^;]+" do
    place = place:gsub("%?", (at:gsub("%%", "%%%%")))
    note_file(place)
    if place == found then break end
  end
  return found, problem
end

local function load_library(path, name)
  note_file(path)
  return package.loadlib(path, name)
end

local function rename(from, to)
  note_file(from)
  return writing(to, os.rename(from, to))
end

local function remove(path)
  note_file(path)
  return os.remove(path)
end

-- Where modules are looked for says where the script stands.
local function read_package(_, k)
  if k == "path" or k == "cpath" then inputs.note_place() end
  return package[k]
end

-- A script may call a searcher itself; the first looks at what is there already.
local function watch_searchers()
  local searchers = package.searchers
  for i = 2, #searchers do
    local search = searchers[i]
    searchers[i] = function(name)
      if type(name) == "string" and not name:find "^vegttt%f[%W]" then inputs.note_module(name) end
      return search(name)
    end
  end
end

-- ── what cannot be compared ──────────────────────────────────────────────────────────────────────────────────────────

-- fn, noted by name when it is called.
local function unrepeatable(name, fn)
  return function(...)
    inputs.note_unrepeatable(name)
    return fn(...)
  end
end

-- The time zone: what TZ says, and the rules that it names.
local function zone_digest()
  local tz, folder = os.getenv "TZ", os.getenv "TZDIR" or "/usr/share/zoneinfo"
  local name = tz and tz:gsub("^:", "")
  local file = not name and "/etc/localtime" or name:find "^/" and name or folder .. "/" .. name
  return core.sha256(("%s\0%s"):format(tz or "unset", core.file_digest(file) or ""))
end
inputs.declare("zone", "the time zone", zone_digest)

local function date(format, t)
  if t == nil then inputs.note_unrepeatable "os.date" end
  if type(format) ~= "string" or format:sub(1, 1) ~= "!" then inputs.note("zone", "", zone_digest()) end
  return os.date(format, t)
end

local function time(t)
  if t == nil then inputs.note_unrepeatable "os.time" else inputs.note("zone", "", zone_digest()) end
  return os.time(t)
end

local function setlocale(locale, category)
  if locale ~= nil and locale ~= "C" and locale ~= "POSIX" then
    errors.misuse("os.setlocale", "os.setlocale: scripts run in the locale C, in which results are written and read; "
      .. "write dates and numbers in another way with string.format")
  end
  return os.setlocale(locale, category)
end

local has_address = { table = true, ["function"] = true, thread = true, userdata = true }

-- Lua writes what has no text of its own by its address.
local function is_address(v)
  if not has_address[type(v)] then return false end
  return io.type(v) ~= nil or not rawget(debug.getmetatable(v) or {}, "__tostring")
end

local function to_text(...)
  local v = ...
  if is_address(v) then inputs.note_unrepeatable("tostring of a " .. type(v)) end
  return tostring(...)
end

local function format(text, ...)
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if has_address[type(v)] and (is_address(v) or text:find("%%[-%d]*p")) then
      inputs.note_unrepeatable("string.format of a " .. type(v))
    end
  end
  return string.format(text, ...)
end

-- pairs in an order that is the same every time; one whose value has gone meanwhile is passed over, as by Lua's own.
local function in_order(t)
  if type(t) ~= "table" or (debug.getmetatable(t) or {}).__pairs then return pairs(t) end
  local numbers, texts, others = {}, {}, {}
  for k in next, t do
    local kind = type(k)
    local list = kind == "number" and numbers or kind == "string" and texts or others
    list[#list + 1] = k
  end
  table.sort(numbers)
  table.sort(texts)
  table.move(texts, 1, #texts, #numbers + 1, numbers)
  table.move(others, 1, #others, #numbers + 1, numbers)
  local i = 0
  return function()
    local k, v
    repeat
      i = i + 1
      k = numbers[i]
      if k ~= nil then v = rawget(t, k) end
    until k == nil or v ~= nil
    return k, v
  end, t, nil
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
  set(g.os, { execute = unrepeatable("os.execute", core.execute), time = time, date = date,
    clock = unrepeatable("os.clock", os.clock), tmpname = unrepeatable("os.tmpname", os.tmpname), setlocale = setlocale,
    getenv = inputs.getenv, rename = rename, remove = remove })
  set(g, { dofile = do_file, loadfile = load_file, require = inputs.require, tostring = to_text, pairs = in_order })
  set(g.string, { format = format })
  g.package = setmetatable({ loadlib = errors.surface(load_library), searchpath = errors.surface(search_path) },
    { __index = read_package, __newindex = package })
  watch_searchers()
  watch_places()
end

return reads
