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

local store, store_folder

local function open_store()
  if store ~= nil then return end
  local ok, handle, folder = pcall(core.content_open)
  store, store_folder = ok and handle or false, ok and folder or nil
end

---The machine-wide content store and its folder, or nil when it cannot be opened (it only saves time).
function session.content()
  open_store()
  return store or nil, store_folder
end

local evaluators = {}

---handle, { version, machine } of an evaluator of the process, opened when first asked for, with the content store, so
---that builds and settled failures are shared by runs. which = "first"; "again": the one that judges kernels a second
---time, with processes and secret inputs of its own; "verb": the one of the verbs, outside any run. With --queue all are
---that queue's: its workers keep first and second judgements apart themselves.
function session.evaluator(which)
  which = which or "first"
  if not evaluators[which] then
    open_store()
    local handle, info
    if core.in_cell then
      handle, info = core.cell_ask("evaluator", which)
      evaluators[which] = { handle = handle, info = info }
      return handle, info
    end
    handle, info = core.eval_open { store = store_folder, unsafe_jail = session.flags.unsafe_jail,
      tier = session.flags.tier, queue = session.flags.queue }
    evaluators[which] = { handle = handle, info = info }
  end
  return evaluators[which].handle, evaluators[which].info
end

---{ version, machine } of the evaluator that would be asked; one of this machine need not be open for that.
function session.evaluator_identity()
  if not session.flags.queue then return core.eval_identity() end
  local _, info = session.evaluator()
  return info
end

---How it stands with the queue that judges: { workers, jobs, up, why }; nil where none does, or none was asked yet.
function session.queue()
  if not session.flags.queue or core.in_cell then return nil end
  local whole
  for _, e in pairs(evaluators) do
    local one = core.eval_queue(e.handle)
    whole = whole or { workers = one.workers, jobs = 0, up = one.up, why = one.why }
    whole.jobs = whole.jobs + one.waiting + one.out
  end
  return whole
end

function session.cancel_evaluations()
  for _, e in pairs(evaluators) do core.eval_cancel(e.handle) end
end

return session
