-- SPDX-License-Identifier: Apache-2.0
--
-- What the verbs for tasks, candidates and runs share: reading what the user named, one evaluation outside any run, and
-- the way in and out. A verb is a table { help, options, run }: its words are read by args.lua, --help is made from it,
-- and errors become one sentence and an exit code (errors.exit_code).
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local tasks = require "vegttt.tasks"

local verb = {}

local max_source = 1 << 20

---Options that more than one verb has.
verb.unsafe_jail_option = { "unsafe-jail", nil, "judge although the jail floor is not met; recorded" }
verb.protocol_option = { "protocol", "fast|full", "how long to time", choices = { "fast", "full" }, default = "fast" }

function verb.say(format, ...) core.out((select("#", ...) > 0 and format:format(...) or format) .. "\n") end

---A word as a shell takes it back.
function verb.quote(word)
  return (word == "" or word:find "[^%w_./=,@:+-]") and "'" .. word:gsub("'", "'\\''") .. "'" or word
end

---The command line of these words.
function verb.command(words)
  local parts = { verb.quote(os.getenv "VEGTTT_LAUNCHER" or "vegttt") }
  for _, w in ipairs(words) do parts[#parts + 1] = verb.quote(w) end
  return table.concat(parts, " ")
end

---spec: { help = text above the options, options, after = text below them, run = function(values, words) -> exit code }.
function verb.main(argv, spec)
  local ok, code = xpcall(function()
    local options = table.move(spec.options or {}, 1, #(spec.options or {}), 1, {})
    options[#options + 1] = { "help", nil, "this text" }
    local values, words = args.parse(options, argv)
    if values.help then
      verb.say("%s\n\n%s%s", spec.help, args.help(options), spec.after and "\n" .. spec.after or "")
      return 0
    end
    verb.unsafe_jail = values["unsafe-jail"]
    return spec.run(values, words, argv)
  end, sched.wrap_error)
  if ok then return code end
  core.err(("vegttt: %s\n"):format(tostring(code)))
  return errors.exit_code(code, true)
end

---Runs fn as the main light task, for verbs that wait; returns what it returns. on_interrupt() is called at Ctrl-C.
function verb.wait(fn, on_interrupt)
  local status, value = sched.run(fn, nil, { on_drain = function()
    verb.cancel_evaluations()
    if on_interrupt then on_interrupt() end
  end })
  if status == "done" then return value end
  if status == "interrupted" then errors.raise("cancelled", "verb", "interrupted", { code = "ECANCELLED" }) end
  error(value, 0)
end

---The text of a C or Lua file the user named: present, not empty, no binary, at most 1 MB.
function verb.source(path)
  if not core.exists(path) then errors.usage("there is no file %s", path) end
  if core.is_dir(path) then errors.usage("%s is a folder, not a file", path) end
  local text = core.read(path)
  if #text > max_source then errors.usage("%s is larger than 1 MB, so it is no source of one function", path) end
  if text:find("\0", 1, true) then errors.usage("%s is a binary file, not C text", path) end
  if not text:find "%S" then errors.usage("%s is empty", path) end
  return text
end

---A vt.Task from what the user wrote: an id, a name, or a task file.
function verb.task(what)
  if what:find "%.lua$" then
    verb.source(what)
    local ok, found = pcall(tasks.get, { file = what })
    if ok then return found[1] end
    if errors.is(found) and found.kind == "infrastructure" and found.code ~= "EFORMAT" then error(found, 0) end
    local message = tostring(found)
    errors.usage("%s", message:find(what, 1, true) and message or ("%s is no task: %s"):format(what, message))
  end
  local by_id, by_name = tasks.shipped(1)
  local id = math.tointeger(tonumber(what)) or by_name[what]
  if id and by_id[id] then return tasks.get({ ids = { id } })[1] end
  if id then errors.usage("there is no task %d; `vegttt task ls` lists them", id) end
  errors.usage("there is no task '%s'%s; a task of your own is a .lua file, `vegttt task ls` lists the others", what,
    errors.hint(what, errors.keys(by_name)))
end

---The evaluator of the verbs.
function verb.evaluator()
  session.flags.unsafe_jail = session.flags.unsafe_jail or verb.unsafe_jail
  return (session.evaluator "verb")
end

---[waits] The evaluator's record (a table, with .json its text) of one candidate. o: protocol, fresh, extract, tier, scale.
function verb.judge(task, code, o)
  local op = core.eval_submit(verb.evaluator(), task.handle, code,
    { protocol = o.protocol or "fast", fresh = o.fresh or false, extract = o.extract or false, tier = o.tier,
      scale = o.scale })
  return sched.await(sched.start(op, function(json)
    local record = core.json_decode(json, "the evaluator's record")
    record.json = json
    return record
  end), "vt.eval")
end

verb.cancel_evaluations = session.cancel_evaluations

return verb
