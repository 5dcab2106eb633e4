-- SPDX-License-Identifier: Apache-2.0
--
-- One attempt at a run: opened, carried out as the main task of the process or of a sweep's cell, and ended, so that
-- whatever happened its tables and records are whole. `vegttt FILE.lua`, `vegttt optimise` and cell_main.lua come
-- through here.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local results = require "vegttt.results"
local run = require "vegttt.run"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
require "vegttt.sweep" -- adds r:need_cells

local attempt = {}

---The run of these values; what is wrong with its name or its parameters is a usage error. o: as run.open.
function attempt.open(e, values, origins, o)
  local ok, r = pcall(run.open, e, values, origins, o)
  if ok then return r end
  if errors.is(r) and r.code == "EINVAL" then errors.usage("%s", r.message) end
  error(r, 0)
end

---Ends an attempt, whatever became of it.
function attempt.finish(r, status, value)
  if status == "done" then
    r:finish(value)
  else
    if status == "failed" then r:note("error: " .. tostring(value)) end
    r:write_tables()
    core.run_sync(r.handle)
  end
  r:close()
  return status, value
end

---What the main task of a run does.
function attempt.main_of(r)
  return function()
    local value = results.check(r.experiment, r.experiment.main(r:script_view(), r.params))
    r:need_cells()
    r.checkpoints:finish()
    return value
  end
end

-- What is said when the process has to be ended because the script is inside a call of C, or Ctrl-C came twice.
local function set_last_words(r, command, is_json)
  local function json(exit, kind, message)
    return is_json and core.json_encode { event = "done", exit = exit, dir = r.dir,
      error = { kind = kind, op = "main", message = message } } .. "\n" or nil
  end
  local recorded = ("vegttt: recorded in %s; continue with: %s\n"):format(r.dir, command)
  core.last_words("interrupt", "vegttt: interrupted, and stopped at once\n" .. recorded,
    json(130, "cancelled", "interrupted, and stopped at once"))
  local limit = r:time_limit()
  if limit then
    local message = limit.error.message .. " (the script was inside a call of C and ended with the process)"
    core.last_words("deadline", ("vegttt: %s\n%s"):format(message, recorded), json(3, "budget", message))
  end
end

---Carries out an opened run: "done", result | "failed", error | "interrupted". The run is closed then. command: how it is
---continued, as it is printed; takes_interrupt: as sched.run has it.
function attempt.carry_out(r, command, is_json, takes_interrupt)
  local news = r:news()
  if news then core.err(("vegttt: %s\n"):format(news)) end
  if r.is_resumed then core.err(("vegttt: continuing %s (attempt %d)\n"):format(r.dir, r.attempt)) end
  r:begin()
  set_last_words(r, command, is_json)
  local status, value = sched.run(attempt.main_of(r), r, {
    tick = function() return r.progress:tick() end,
    takes_interrupt = takes_interrupt,
    limit = r:time_limit(),
    on_drain = function()
      core.err("vegttt: interrupted; letting running work end (Ctrl-C again stops at once)\n")
      session.cancel_evaluations()
    end,
  })
  if status == "failed" then session.cancel_evaluations() end
  core.last_words "interrupt"
  core.last_words "deadline"
  local is_whole, problem = pcall(attempt.finish, r, status, value) -- the last that is written may find the disk full
  if is_whole or status == "failed" then return status, value end
  pcall(r.close, r)
  return "failed", sched.wrap_error(problem)
end

---What a run of these values would refuse before it costs anything is refused here, in the same words: main is carried out
---in a folder that is gone afterwards, up to where its tasks would sample, score, train or judge. "done" | "rehearsed" |
---"failed", error | "interrupted". o: as run.open.
function attempt.rehearse(e, values, origins, o)
  local scratch = os.tmpname()
  os.remove(scratch)
  core.mkdir(scratch)
  session.flags.scratch, session.flags.fresh = scratch, true
  local ok, status, value = xpcall(function()
    local r = attempt.open(e, values, origins, o)
    r:begin()
    return attempt.finish(r, sched.run(attempt.main_of(r), r, { is_rehearsal = true }))
  end, sched.wrap_error)
  core.remove(scratch)
  if not ok then return "failed", status end
  return status, value
end

return attempt
