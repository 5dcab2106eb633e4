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

---Options that more than one verb has.
---
---goes_with, where only some of what a verb can do takes an option, names those.
verb.unsafe_jail_option = { "unsafe-jail", nil, "judge although the jail floor is not met; recorded" }
verb.queue_option = { "queue", "ADDRESS", "workers of this queue judge (redis://HOST[:PORT]/NAME; `vegttt worker --help`)" }
verb.protocol_option = { "protocol", "fast|full", "how long to time", choices = { "fast", "full" }, default = "fast" }

---A declaration for those things that a verb can do only.
function verb.with(option, ...)
  local copy = table.move(option, 1, 3, 1, {})
  for k, v in pairs(option) do copy[k] = v end
  copy.goes_with = {}
  for _, name in ipairs { ... } do copy.goes_with[name] = true end
  return copy
end

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

-- A verb that can do several things: options that were given and mean nothing for the one asked for are refused.
local function check_given(options, given, doing)
  for _, d in ipairs(options) do
    if given[d[1]] and d.goes_with and not d.goes_with[doing] then
      errors.usage("--%s does not go with `%s`; --help says with what it does", d[1], doing)
    end
  end
end

local function is_asked_for_json(spec, argv)
  for _, o in ipairs(spec.options or {}) do
    for _, word in ipairs(o[1] == "json" and argv or {}) do
      if word == "--json" then return true end
    end
  end
  return false
end

---spec: { help = text above the options, options, after = text below them, max_words = how many words may stand there
---beside the options, run = function(values, words) -> exit code,
---doing = function(values, words) -> what is asked for, by the names that the options' goes_with have }.
function verb.main(argv, spec)
  local ok, code = xpcall(function()
    local options = table.move(spec.options or {}, 1, #(spec.options or {}), 1, {})
    options[#options + 1] = { "help", nil, "this text" }
    local values, words, given = args.parse(options, argv)
    if values.help then
      verb.say("%s\n\n%s%s", spec.help, args.help(options), spec.after and "\n" .. spec.after or "")
      return 0
    end
    if spec.max_words and words[spec.max_words + 1] then
      errors.usage("'%s' is a word too many; --help says what there is to say", words[spec.max_words + 1])
    end
    if spec.doing then check_given(options, given, spec.doing(values, words)) end
    verb.unsafe_jail, verb.queue = values["unsafe-jail"], values.queue
    return spec.run(values, words, argv)
  end, sched.wrap_error)
  if ok then return code end
  local exit = errors.exit_code(code, true)
  core.err(("vegttt: %s\n"):format(errors.sentence(code)))
  if is_asked_for_json(spec, argv) then
    core.out(core.json_encode { exit = exit, error = { kind = errors.is(code) and code.kind or "script",
      message = errors.sentence(code) } } .. "\n")
  end
  return exit
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
  local text = tasks.source(path)
  if text:find("\0", 1, true) then errors.usage("%s is a binary file, not C text", path) end
  if not text:find "%S" then errors.usage("%s is empty", path) end
  return text
end

---A vt.Task from what the user wrote: an id, a name, or a task file.
function verb.task(what)
  if what:find "%.lua$" or what:find "%.py$" then
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
  session.flags.queue = session.flags.queue or verb.queue
  return (session.evaluator "verb")
end

---[waits] The evaluator's record (a table, with .json its text) of one candidate. o: protocol, fresh, extract, tier, scale.
function verb.judge(task, code, o)
  local op = core.eval_submit(verb.evaluator(), task.handle, code,
    { protocol = o.protocol or "fast", fresh = o.fresh or false, extract = o.extract or false, tier = o.tier or task.tier,
      scale = o.scale })
  return sched.await(sched.start(op, function(json)
    local record = core.json_decode(json, "the evaluator's record")
    record.json = json
    return record
  end), "vt.eval")
end

verb.cancel_evaluations = session.cancel_evaluations

return verb
