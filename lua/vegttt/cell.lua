-- SPDX-License-Identifier: Apache-2.0
--
-- A cell of a sweep, seen from the run that it is a part of. A cell is carried out in a Lua state of its own
-- (engine/bind/lua_cell.c, cell_main.lua there), so that it is what it would be alone: no module, upvalue, library or
-- default file remembers the script that sweeps, or another cell. What the process has one of is asked for here: models,
-- evaluators, standard input, the places where text goes; what a cell read and did is told here, for the run.
--
-- An experiment of a file is loaded anew from that file. One that a script made while it ran is packed: its functions with
-- what they close over, as they are when the sweep begins (closure.lua).
local closure = require "vegttt.closure"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local identity = require "vegttt.identity"
local inputs = require "vegttt.inputs"
local policy = require "vegttt.policy"
local reads = require "vegttt.reads"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local cell = {}

local error_fields = { "kind", "op", "code", "message", "retryable", "traceback" }

---An error as plain data.
function cell.plain_error(e)
  local out = {}
  for _, name in ipairs(error_fields) do out[name] = e[name] end
  if type(e.cause) == "string" then out.cause = e.cause end -- what cells of its own failed by
  return out
end

---How the state of a cell makes experiment e again. Raises at the script's line where it cannot.
function cell.experiment(e)
  if e.file then
    return { file = e.file, sha256 = core.sha256(e.text), shape = cell.shape(e), places = e.places }
  end
  local packed, problem = closure.pack { name = e.name, doc = e.doc, params = e.params, main = e.main, plan = e.plan }
  if not packed then
    errors.misuse("run:sweep", "run:sweep: a cell of '%s' begins in a Lua state of its own, and %s; open or make it inside "
      .. "the cell's main, or give it as a parameter", e.name, problem)
  end
  return { packed = packed, digest = identity.of(e.main), places = e.places }
end

---What of an experiment follows from its file alone.
function cell.shape(e)
  return core.sha256(table.concat({ e.name, identity.code(e.main) or "", e.plan and identity.code(e.plan) or "",
    identity.of(e.params) }, "\0"))
end

-- ── what a cell asks for ─────────────────────────────────────────────────────────────────────────────────────────────

local answers = {}

function answers.out(_, text) core.out(text) end
function answers.err(_, text) core.err(text) end

-- The place of the cell's own experiment is what the parent calls it, which is no input of the parent.
function answers.note(c, kind, name, digest)
  if kind ~= "place" or name == inputs.places().script then c.parent:note_input(kind, name, digest) end
end

function answers.waits(c, dir, is_on) c.parent:waits(dir, is_on) end
function answers.not_replayed(c) c.parent:count_not_replayed() end
function answers.evaluator(_, which) return session.evaluator(which) end
function answers.stdin() return reads.stdin() end

function answers.doing(c, words)
  c.works[#c.works + 1] = c.parent.progress:doing(words)
  return #c.works
end

function answers.done(c, i) c.works[i]() end

-- Counts of what was done: name of a method of the progress, its arguments.
function answers.count(c, method, ...) c.parent.progress[method](c.parent.progress, ...) end

-- What takes a while: the answer comes later, under this number.
function answers.later(c, verb, ...)
  c.n_asked = c.n_asked + 1
  c.requests[#c.requests + 1] = { id = c.n_asked, verb = verb, args = table.pack(...) }
  return c.n_asked
end

local slow = {}

slow.open = policy.open_shared

-- Does what was asked for, each as a task of its own.
local function serve(c)
  while c.requests[1] do
    local r = table.remove(c.requests, 1)
    sched.spawn(function()
      local result = table.pack(pcall(slow[r.verb], table.unpack(r.args, 1, r.args.n)))
      if c.is_closed then return end
      if not result[1] then result[2] = cell.plain_error(sched.wrap_error(result[2])) end
      core.cell_tell(c.handle, "answer", r.id, table.unpack(result, 1, result.n))
      sched.ring()
    end)
  end
end

-- ── carrying it out ──────────────────────────────────────────────────────────────────────────────────────────────────

-- Turns the cell until it is over; what it reports.
local function drive(c)
  while true do
    local seconds, report = core.cell_turn(c.handle)
    if not seconds then return report end
    serve(c)
    local ok, e = pcall(sched.next_turn, seconds, "run:sweep")
    if not ok then -- given up: it may end its run, without waiting
      core.cell_tell(c.handle, "cancel", cell.plain_error(sched.wrap_error(e)))
      core.cell_turn(c.handle)
      error(e, 0)
    end
  end
end

---[waits] Runs the cell in a state of its own. spec: for cell_main.lua. Its report: { status, dir, summary (JSON), origins,
---charged, spent, error }.
function cell.run(parent, spec)
  local c = { parent = parent, works = {}, requests = {}, n_asked = 0 }
  local limit = sched.limit()
  spec.flags, spec.places = session.flags, inputs.places()
  spec.limit = limit and { at = limit.at, error = cell.plain_error(limit.error) }
  c.handle = core.cell_open(function(verb, ...) return answers[verb](c, ...) end)
  local ok, report = pcall(function()
    core.cell_start(c.handle, "vegttt.cell_main", spec)
    return drive(c)
  end)
  c.is_closed = true
  core.cell_close(c.handle)
  for _, done in ipairs(c.works) do done() end
  if not ok then error(report, 0) end
  if report.status == "interrupted" then sched.gate "run:sweep" end -- for good
  return report
end

return cell
