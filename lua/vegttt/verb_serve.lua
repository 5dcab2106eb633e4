-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt eval --serve`: the evaluator for other programs. Lines, clients, requests and answers are the engine's
-- (engine/farm); what is left here is to find tasks, which are Lua files, and to say how it ended. A task file is known
-- by its content, so a request that names an edited file gets the edited task.
local core = require "vegttt.core"
local sched = require "vegttt.sched"
local verb = require "vegttt.verb_common"

local serve = {}

local most_known = 256
local known, n_known = {}, 0

local function keep(key, task)
  if n_known >= most_known then known, n_known = {}, 0 end
  known[key], n_known = task, n_known + 1
  return task.handle
end

-- The handle of the task that a request names; raises when there is none.
local function find(what)
  if not what:find "%.lua$" then return known[what] and known[what].handle or keep(what, verb.task(what)) end
  local before = core.sha256(verb.source(what))
  if known[before] then return known[before].handle end
  local task = verb.task(what)
  return core.sha256(verb.source(what)) == before and keep(before, task) or task.handle
end

---f: the flags of `vegttt eval`.
function serve.run(f)
  local server
  local is_stopped = false
  local n = verb.wait(function()
    local op
    op, server = core.serve(verb.evaluator(), { socket = f.socket }, find)
    if f.socket then core.err(("vegttt: listening at %s (Ctrl-C stops)\n"):format(f.socket)) end
    return sched.await(sched.start(op, function(count) return count end), "serve")
  end, function()
    is_stopped = true
    core.serve_stop(server)
  end)
  if is_stopped or n.dropped > 0 then
    core.err(("vegttt: %s: %d requests judged, %d refused, %d not judged\n"):format(
      is_stopped and "stopped" or "a client went away", n.judged, n.refused, n.dropped))
  end
  return is_stopped and n.dropped > 0 and core.exit_code "cancelled" or 0
end

return serve
