-- SPDX-License-Identifier: Apache-2.0
--
-- The session: what the tasks of one run share without passing it around: the run they belong to, the evaluator, the
-- progress counters. A light task inherits the run of the task that started it, so the cells of a sweep stay apart.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"

local session = { flags = {} }

---The run of the calling task; raises where there is none.
function session.run(what)
  local task = sched.current()
  if not task or not task.run then
    errors.misuse(what, "%s cannot be called while a file is loading; call it inside main", what)
  end
  return task.run
end

local evaluators = {}

---handle, { version, machine } of the process's evaluator, opened when first asked for. which = "again": the one that
---judges kernels a second time, with processes and secret inputs of its own.
function session.evaluator(which)
  which = which or "first"
  if not evaluators[which] then
    local handle, info = core.eval_open { unsafe_jail = session.flags.unsafe_jail }
    evaluators[which] = { handle = handle, info = info }
  end
  return evaluators[which].handle, evaluators[which].info
end

function session.cancel_evaluations()
  for _, e in pairs(evaluators) do core.eval_cancel(e.handle) end
end

local store

---The machine-wide content store, or nil when it cannot be opened (it only saves time).
function session.content()
  if store == nil then
    local ok, handle = pcall(core.content_open)
    store = ok and handle or false
  end
  return store or nil
end

return session
