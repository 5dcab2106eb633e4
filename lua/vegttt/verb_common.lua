-- SPDX-License-Identifier: Apache-2.0
--
-- What the verbs for tasks, candidates and runs share: flags, exit codes, reading what the user named, and one
-- evaluation outside any run. A verb raises vt.Error objects like everything else; verb.main turns them into one
-- sentence and an exit code: 0 well, 1 a negative answer (not correct, not sound, nothing found), 2 bad input, 4 the
-- machine or the evaluator could not work, 130 interrupted.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local tasks = require "vegttt.tasks"

local verb = {}

local max_source = 1 << 20
local exit_of = { usage = 2, misuse = 2, script = 2, budget = 3, cancelled = 130 }

function verb.usage(format, ...) errors.raise("usage", "command line", format:format(...)) end

function verb.say(format, ...) core.out((select("#", ...) > 0 and format:format(...) or format) .. "\n") end

---A word as a shell takes it back.
function verb.quote(word)
  return word:find "[^%w_./=,@:+-]" and "'" .. word:gsub("'", "'\\''") .. "'" or word
end

---The command line of these words.
function verb.command(words)
  local parts = { verb.quote(os.getenv "VEGTTT_LAUNCHER" or "vegttt") }
  for _, w in ipairs(words) do parts[#parts + 1] = verb.quote(w) end
  return table.concat(parts, " ")
end

---Runs fn(); its result is the exit code. Errors become one sentence on standard error.
function verb.main(fn)
  local ok, code = xpcall(fn, sched.wrap_error)
  if ok then return code end
  core.err(("vegttt: %s\n"):format(tostring(code)))
  return exit_of[code.kind] or 4
end

---Runs fn as the main light task, for verbs that wait; returns what it returns. on_interrupt() is called at Ctrl-C.
function verb.wait(fn, on_interrupt)
  local status, value = sched.run(fn, nil, { on_drain = function()
    verb.cancel_evaluations()
    if on_interrupt then on_interrupt() end
  end })
  if status == "done" then return value end
  if status == "interrupted" then errors.raise("cancelled", "verb", "interrupted") end
  error(value, 0)
end

---Flags and words: spec = { name = true (switch) | "VALUE" }. Returns { name = value },
---{ word, … }; --help prints the help text and returns nil.
function verb.parse(words, spec, help)
  local given, rest, i = {}, {}, 1
  while i <= #words do
    local word = words[i]
    local name, value = word:match "^%-%-([%w-]+)=(.*)$"
    name = name or word:match "^%-%-([%w-]+)$"
    if name == "help" then
      core.out(help .. "\n")
      return nil
    elseif not name then
      rest[#rest + 1] = word
    else
      local kind = spec[name]
      if not kind then verb.usage("unknown flag '--%s'%s", name, errors.hint(name, errors.keys(spec))) end
      if kind == true then
        if value then verb.usage("--%s takes no value", name) end
        value = true
      elseif not value then
        i = i + 1
        value = words[i] or verb.usage("--%s needs a value: %s", name, type(kind) == "table" and kind[1] or kind)
      end
      if type(kind) == "table" then
        given[name] = given[name] or {}
        table.insert(given[name], value)
      else
        given[name] = value
      end
    end
    i = i + 1
  end
  return given, rest
end

---One of the choices, or the first when nothing was given.
function verb.choice(name, value, choices)
  if value == nil then return choices[1] end
  for _, c in ipairs(choices) do
    if c == value then return c end
  end
  verb.usage("--%s must be one of %s, not '%s'", name, table.concat(choices, ", "), value)
end

---A whole number of at least `min`, or nil when nothing was given.
function verb.count(name, value, min)
  if value == nil then return nil end
  local n = math.tointeger(tonumber(value))
  if not n or n < min then verb.usage("--%s must be a whole number of at least %d, not '%s'", name, min, value) end
  return n
end

---The text of a C or Lua file the user named: present, not empty, no binary, at most 1 MB.
function verb.source(path)
  if not core.exists(path) then verb.usage("there is no file %s", path) end
  if core.is_dir(path) then verb.usage("%s is a folder, not a file", path) end
  local text = core.read(path)
  if #text > max_source then verb.usage("%s is larger than 1 MB, so it is no source of one function", path) end
  if text:find("\0", 1, true) then verb.usage("%s is a binary file, not C text", path) end
  if not text:find "%S" then verb.usage("%s is empty", path) end
  return text
end

---id, name -> file name of every task that comes with vegttt.
local function shipped()
  local by_id, by_name = {}, {}
  for _, file in ipairs(core.embedded "tasks/l1/") do
    local id, name = file:match "/(%d+)_([^/]*)%.lua$"
    if id then by_id[tonumber(id)], by_name[name] = name, tonumber(id) end
  end
  return by_id, by_name
end
verb.shipped = shipped

---A vt.Task from what the user wrote: an id, a name, or a task file.
function verb.task(what)
  if what:find "%.lua$" then
    verb.source(what)
    local ok, found = pcall(tasks.get, { file = what })
    if ok then return found[1] end
    if errors.is(found) and found.kind == "infrastructure" and found.code ~= "EFORMAT" then error(found, 0) end
    local message = tostring(found)
    verb.usage("%s", message:find(what, 1, true) and message or ("%s is no task: %s"):format(what, message))
  end
  local by_id, by_name = shipped()
  local id = math.tointeger(tonumber(what)) or by_name[what]
  if id and by_id[id] then return tasks.get({ ids = { id } })[1] end
  if id then verb.usage("there is no task %d; `vegttt task ls` lists them", id) end
  verb.usage("there is no task '%s'%s; a task of your own is a .lua file, `vegttt task ls` lists the others", what,
    errors.hint(what, errors.keys(by_name)))
end

---The evaluator of the verbs.
function verb.evaluator()
  session.flags.unsafe_jail = session.flags.unsafe_jail or verb.unsafe_jail
  return (session.evaluator "verb")
end

---[waits] The evaluator's record (a table, with .json its text) of one candidate. o: protocol, fresh, extract.
function verb.judge(task, code, o)
  local op = core.eval_submit(verb.evaluator(), task.handle, code,
    { protocol = o.protocol or "fast", fresh = o.fresh or false, extract = o.extract or false })
  return sched.await(sched.start(op, function(json)
    local record = core.json_decode(json, "the evaluator's record")
    record.json = json
    return record
  end), "vt.eval")
end

verb.cancel_evaluations = session.cancel_evaluations

return verb
