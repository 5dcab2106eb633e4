-- SPDX-License-Identifier: Apache-2.0
--
-- The scheduler of light tasks: calls look sequential, waiting is invisible, concurrency is structural.
--
-- A light task is a coroutine. It waits on futures, through one function, await; a future is resolved by an operation
-- of the C half that finished (core.turn hands those over), by a timer or by another task. Work that must not be lost
-- (recording a sample) hangs on the operation, not on the task that asked for it, so cancelling a task loses nothing.
-- Scopes: a task ends after its children; the first error cancels the siblings and surfaces where they were joined.
-- Scripts see a coroutine library that passes engine waits outwards, so their own generators may contain waits.
-- A first interrupt parks whoever asks for new work and lets running operations end; a rehearsal (--dry-run) is a run in
-- which that is so from the beginning, so that it is over when every task that is left would cost something.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local raw = {
  create = coroutine.create, resume = coroutine.resume, yield = coroutine.yield, status = coroutine.status,
  close = coroutine.close, isyieldable = coroutine.isyieldable,
}
local pack, unpack = table.pack, table.unpack

local sched = {}
local ENGINE = setmetatable({}, { __name = "engine wait" })
local grace_s = 30

local current -- the running task
local ready, ready_first = {}, 1
local handlers = {} -- op -> function(ok, ...)
local part_handlers = {} -- op -> function(i, value)
local stopped_early = {} -- op -> true: cancelled when the run is interrupted
local timers = {}
local alive = {}
local never
local main_task -- of the run that goes on
local turned -- settles when the loop has turned once more
local asked, n_asked = {}, 0 -- in a cell: id -> future of what its parent was asked
local limit -- { at, error } of the run that goes on, or nil
local is_rehearsal -- of the run that goes on

---When the run that goes on ends at the latest, { at, error }, or nil.
function sched.limit() return limit end

local function is_over() return limit and core.now() > limit.at and limit.error end

local function interrupt_error()
  return errors.new { kind = "cancelled", op = "main", code = "ECANCELLED", message = "interrupted", retryable = false }
end

-- ── futures ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local Future = {}
Future.__index = Future

function sched.future() return setmetatable({ waiters = {} }, Future) end

local function wake(task)
  if task.is_ready or task.is_dead then return end
  task.is_ready = true
  ready[#ready + 1] = task
end

function Future:settle(ok, value)
  if self.is_done then return end
  self.is_done, self.ok, self.value = true, ok, value
  for _, task in ipairs(self.waiters) do wake(task) end
  self.waiters = {}
end

-- Waits once: until the future is done, or the task was cancelled.
local function wait_once(task, future)
  if future.is_done then return end
  future.waiters[#future.waiters + 1] = task
  raw.yield(ENGINE)
end

local function cancel_error(task)
  return task.reason or errors.new { kind = "cancelled", op = "vt", message = "the task was cancelled",
    retryable = false }
end

---The task that runs now; raises where there is none or where it cannot wait. `what` names the surface function.
function sched.need(what)
  if not current then
    errors.misuse(what, "%s cannot be called while a file is loading; call it inside main", what)
  end
  if not raw.isyieldable() then
    errors.misuse(what, "%s cannot wait here: Lua does not let a call wait inside a sort comparator, a gsub callback "
      .. "or __tostring; compute the values first (vt.sort_by does)", what)
  end
  return current
end

---Waits for a future: its value, or its error raised here.
function sched.await(future, what)
  local task = sched.need(what)
  repeat
    if task.is_cancelled then error(cancel_error(task), 0) end
    if future.is_done then break end
    wait_once(task, future)
  until false
  if not future.ok then error(future.value, 0) end
  return future.value
end

---The future of an operation of the C half. then_do(results…) runs on completion even when nobody waits any more; what
---it returns is the future's value. finally() is called in any case; on_part(i, value) for each piece that comes early.
function sched.start(op, then_do, finally, on_part)
  local future = sched.future()
  local part_error
  part_handlers[op] = on_part and function(i, value)
    local ok, e = xpcall(on_part, sched.wrap_error, i, value)
    if not ok then part_error = part_error or e end
  end
  handlers[op] = function(ok, ...)
    local result = pack(ok, (...))
    if ok and part_error then
      result = { false, part_error }
    elseif ok then
      result = pack(xpcall(then_do, sched.wrap_error, ...))
    end
    if finally then finally() end
    future:settle(result[1], result[2])
  end
  return future
end

---In a cell: asks the state that opened it for something that takes a while. Its future, whose value answered(values…)
---makes; failed() is called where there is no answer.
function sched.ask(answered, failed, verb, ...)
  local future = sched.future()
  asked[core.cell_ask("later", verb, ...)] = { future = future, answered = answered, failed = failed }
  n_asked = n_asked + 1
  return future
end

---Waits until the loop has turned once more, or for so many seconds, or until sched.ring().
function sched.next_turn(seconds, what)
  local timer = seconds < math.huge and sched.after(seconds, function() end)
  turned = turned or sched.future()
  local ok, e = pcall(sched.await, turned, what)
  if timer then timer.is_off = true end
  if not ok then error(e, 0) end
end

function sched.ring()
  local waited = turned
  turned = nil
  if waited then waited:settle(true) end
end

---An interrupt cancels the operation instead of letting it end.
function sched.stop_at_interrupt(op) stopped_early[op] = true end

---New work begins only while the run is not being interrupted; afterwards whoever asks is parked for good, and in a
---rehearsal at once, unless the work is_free.
function sched.gate(what, is_free)
  sched.need(what)
  if sched.is_draining or is_rehearsal and not is_free then sched.await(never, what) end
end

-- ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

---Error handler of task bodies: keeps vt.Error objects, makes one of everything else, and keeps the traceback.
function sched.wrap_error(e)
  if not errors.is(e) then
    e = errors.new { kind = "script", op = "main", message = errors.text(e), cause = type(e) ~= "string" and e or nil,
      retryable = false }
  end
  local trace = errors.traceback()
  e.traceback = e.traceback and trace ~= "" and e.traceback .. "\n  joined from:\n" .. trace or e.traceback or trace
  return e
end

local function cancel(task, reason)
  if task.is_dead or task.is_cancelled then return end
  task.is_cancelled, task.reason = true, reason
  for child in pairs(task.children) do cancel(child, reason) end
  wake(task)
end

-- A task that the script cancelled on purpose has not failed by ending so.
local function is_given_up(task)
  local e = task.future.value
  return task.is_given_up and errors.is(e) and e.kind == "cancelled"
end

local function end_children(task, result)
  while next(task.children) do
    local child = next(task.children)
    if not result[1] then
      for c in pairs(task.children) do cancel(c) end
    end
    wait_once(task, child.future)
    if child.is_dead then
      task.children[child] = nil
      if result[1] and not child.future.ok and not child.is_joined and not is_given_up(child) then
        result = { false, child.future.value, n = 2 }
      end
    end
  end
  return result
end

local function body(task, fn, ...)
  local result = pack(xpcall(fn, sched.wrap_error, ...))
  result = end_children(task, result)
  return unpack(result, 1, result.n)
end

local function new_task(parent, fn, ...)
  local task = { children = {}, parent = parent, future = sched.future(), run = parent and parent.run,
    is_cancelled = parent and parent.is_cancelled, reason = parent and parent.reason }
  local args = pack(...)
  task.co = raw.create(function() return body(task, fn, unpack(args, 1, args.n)) end)
  alive[task] = true
  if parent then parent.children[task] = true end
  wake(task)
  return task
end

local function finish(task, ok, value)
  task.is_dead = true
  alive[task] = nil
  task.future:settle(ok, value)
  if task.on_end then task.on_end(ok, value) end
end

local function step(task)
  task.is_ready = false
  if task.is_dead then return end
  current = task
  local resumed, tag, value = raw.resume(task.co)
  current = nil
  if not resumed then return finish(task, false, sched.wrap_error(tag)) end
  if raw.status(task.co) == "dead" then return finish(task, tag, value) end
  if tag ~= ENGINE then
    local stopped, where = is_over() or core.signals() > 0 and interrupt_error(), errors.where(task.co)
    raw.close(task.co)
    finish(task, false, stopped or errors.new { kind = "misuse", op = "coroutine.yield", retryable = false,
      message = where .. "coroutine.yield was called outside a coroutine of the script" })
  end
end

function sched.current() return current end

-- Runs n children of the current task, at most `limit` at a time, until all ended. collect(i, value) is called in
-- completion order; the first error cancels the rest and is raised here.
local function run_group(what, n, limit, make, collect)
  local task = sched.need(what)
  if task.is_cancelled then error(cancel_error(task), 0) end
  local n_running, next_i, failure, is_over = 0, 1, nil, false
  local children = {}
  local bell = sched.future()
  local function stop(reason)
    is_over = true
    for child in pairs(children) do cancel(child, reason) end
  end
  local function launch()
    while next_i <= n and n_running < limit and not is_over do
      local i = next_i
      next_i, n_running = i + 1, n_running + 1
      local child = new_task(task, make(i))
      child.is_joined, children[child] = true, true
      child.on_end = function(ok, value)
        n_running = n_running - 1
        children[child], task.children[child] = nil, nil
        if not ok and not is_over then
          failure = value
          stop()
        elseif ok and not is_over and collect(i, value) == "stop" then
          stop()
        end
        bell:settle(true)
      end
    end
  end
  launch()
  while n_running > 0 do
    bell = sched.future()
    wait_once(task, bell)
    if task.is_cancelled and not is_over then stop(task.reason) end
    launch()
  end
  if failure then error(failure, 0) end
  if task.is_cancelled then error(cancel_error(task), 0) end
end

local function check_list(what, list, fn)
  if type(list) ~= "table" then
    errors.misuse(what, "%s: the first argument must be a list, not a %s", what, type(list))
  end
  if fn ~= nil and type(fn) ~= "function" then
    errors.misuse(what, "%s: the second argument must be a function, not a %s", what, type(fn))
  end
end

local function group_limit(what, o)
  o = errors.options(what, o, { limit = "integer" })
  return math.max(1, o.limit or math.huge)
end

function sched.map(list, fn, o)
  check_list("vt.map", list, fn or false)
  local results = {}
  run_group("vt.map", #list, group_limit("vt.map", o), function(i) return function() return fn(list[i], i) end end,
    function(i, value) results[i] = value end)
  return results
end

function sched.each(list, fn, o)
  check_list("vt.each", list, fn or false)
  local results = {}
  run_group("vt.each", #list, group_limit("vt.each", o), function(i) return function() return fn(list[i], i) end end,
    function(_, value) results[#results + 1] = value end)
  return results
end

function sched.all(fns)
  check_list("vt.all", fns)
  local results = {}
  run_group("vt.all", #fns, math.huge, function(i) return fns[i] end, function(i, value) results[i] = value end)
  return results
end

function sched.race(fns)
  check_list("vt.race", fns)
  local winner
  run_group("vt.race", #fns, math.huge, function(i) return fns[i] end, function(_, value)
    winner = value
    return "stop"
  end)
  return winner
end

local Handle = {}
local handle_class = closed.class("vt.Handle", "a handle", { "task" }, Handle)

function Handle:join()
  self.task.is_joined = true
  return sched.await(self.task.future, "handle:join")
end

function Handle:cancel()
  if not self.task.is_dead and not self.task.is_cancelled then self.task.is_given_up = true end
  cancel(self.task)
end

function sched.spawn(fn, run)
  local parent = sched.need "vt.spawn"
  if type(fn) ~= "function" then errors.misuse("vt.spawn", "vt.spawn needs a function, not a %s", type(fn)) end
  local task = new_task(parent, fn)
  if run then task.run = run end
  return setmetatable({ task = task }, handle_class)
end

-- ── timers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function sched.after(seconds, fn)
  local timer = { at = core.now() + seconds, fn = fn }
  timers[#timers + 1] = timer
  return timer
end

local function fire_timers()
  local now = core.now()
  for i = #timers, 1, -1 do
    local timer = timers[i]
    if timer.is_off or timer.at <= now then
      table.remove(timers, i)
      if not timer.is_off then timer.fn() end
    end
  end
end

local function next_timer_s()
  local s = math.huge
  for _, timer in ipairs(timers) do
    if not timer.is_off then s = math.min(s, timer.at - core.now()) end
  end
  return math.max(0, s)
end

function sched.timeout(seconds, fn)
  if type(seconds) ~= "number" or not (seconds > 0) then
    errors.misuse("vt.timeout", "vt.timeout needs a positive number of seconds")
  end
  local handle = sched.spawn(fn)
  local timer = is_rehearsal and {} or sched.after(seconds, function() -- what is parked there waits for nothing
    cancel(handle.task, errors.new { kind = "cancelled", op = "vt.timeout", retryable = true,
      message = ("vt.timeout: not done after %g s"):format(seconds) })
  end)
  local result = pack(pcall(handle.join, handle))
  timer.is_off = true
  if not result[1] then error(result[2], 0) end
  return result[2]
end

-- ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function run_ready()
  while ready_first <= #ready do
    local task = ready[ready_first]
    ready[ready_first] = false
    ready_first = ready_first + 1
    step(task)
  end
  ready, ready_first = {}, 1
end

-- What the parent of a cell tells it: an answer to sched.ask, or that it is given up.
local function hear(kind, id, ok, ...)
  if kind == "cancel" then
    if main_task then cancel(main_task, errors.new(id)) end
    return
  end
  local a = asked[id]
  asked[id], n_asked = nil, n_asked - 1
  if ok then
    a.future:settle(xpcall(a.answered, sched.wrap_error, ...))
  else
    a.failed()
    a.future:settle(false, errors.new((...)))
  end
end

local function turn(timeout_s)
  local done, n_signals, parts, told = core.turn(timeout_s)
  for _, part in ipairs(parts) do
    local handler = part_handlers[part[1]]
    if handler then handler(part[2], part[3]) end
  end
  for _, op in ipairs(done) do
    local handler = handlers[op]
    handlers[op], part_handlers[op], stopped_early[op] = nil, nil, nil
    if handler then handler(core.result(op)) end
  end
  for _, message in ipairs(told or {}) do hear(table.unpack(message)) end
  sched.ring()
  return n_signals
end

-- Ends what is left after an interrupt: <close> variables run, results of parked calls never come.
local function close_all()
  for task in pairs(alive) do
    task.is_dead = true
    pcall(raw.close, task.co)
  end
  alive = {}
end

-- How a main task that has ended leaves its run. A script can catch what an interrupt or a limit raised and return as if
-- it were whole: a run that was stopped is not finished. A verb (a main without a run) judges its interrupts itself.
local function ending(main)
  if not main.future.ok then return "failed", main.future.value end
  if main.is_cancelled or is_over() then return "failed", main.reason or limit.error end
  -- An interrupt may have ended a command that the main task waited for, and nobody has turned the loop since.
  if main.run and (sched.is_draining or core.signals() > 0) then return "interrupted" end
  return "done", main.future.value
end

local function run_until_over(main, hooks)
  local deadline
  while true do
    run_ready()
    if main.is_dead then break end
    local tick_s = hooks.tick and hooks.tick() or math.huge
    local n_running = core.running()
    if deadline and (n_running == 0 or core.now() > deadline) then
      close_all()
      return "interrupted"
    end
    local timer_s = next_timer_s()
    if n_running + n_asked == 0 and timer_s == math.huge and ready_first > #ready then
      close_all()
      if is_rehearsal then return "rehearsed" end
      return "failed", errors.new { kind = "misuse", op = "vt", retryable = false,
        message = "every task of the script waits for another one; nothing can go on" }
    end
    local wait_s = math.min(tick_s, timer_s, deadline and 0.1 or math.huge)
    local n_signals = turn(wait_s == math.huge and -1 or wait_s)
    fire_timers()
    if n_signals > 0 and hooks.takes_interrupt and hooks.takes_interrupt() then
      core.forget_interrupts()
    elseif n_signals > 0 and not deadline then
      deadline = core.now() + grace_s
      sched.is_draining = true
      for op in pairs(stopped_early) do core.cancel(op) end
      if hooks.on_drain then hooks.on_drain() end
    end
  end
  return ending(main)
end

-- Ends the main task at a point in time, whether it waits or computes. One that computes gets the error where it is; when
-- it catches that and goes on, it is taken from its coroutine (core.deadline).
local function set_limit(main, l)
  limit = l
  core.deadline(l.at, l.error.message)
  sched.after(l.at - core.now(), function() cancel(main, l.error) end)
end

---Runs fn as the main task. hooks: tick() -> seconds until it wants to be called again; on_drain() at the first
---interrupt; takes_interrupt() -> whether one is answered and the run goes on; limit = { at, error }, when it ends at the
---latest; is_rehearsal: it ends where it would cost something. Returns "done", value | "failed", error | "interrupted" |
---"rehearsed".
function sched.run(fn, run, hooks)
  never = sched.future()
  sched.is_draining, is_rehearsal = false, hooks.is_rehearsal
  local main = new_task(nil, fn)
  main.run, main_task = run, main
  if hooks.limit then set_limit(main, hooks.limit) end
  core.warden(true)
  local status, value = run_until_over(main, hooks)
  core.warden(false) -- what follows writes, and is quick
  core.deadline(nil)
  limit, main_task, is_rehearsal = nil, nil, nil
  return status, value
end

-- ── the coroutine library that scripts see ───────────────────────────────────────────────────────────────────────────

local function relay(co, ok, tag, ...)
  if ok and tag == ENGINE then return relay(co, raw.resume(co, raw.yield(ENGINE, ...))) end
  return ok, tag, ...
end

---Installs the relaying functions in a coroutine library table.
function sched.install(library)
  library.resume = function(co, ...) return relay(co, raw.resume(co, ...)) end
  library.wrap = function(fn)
    local co = raw.create(fn)
    local function out(ok, ...)
      if not ok then error((...), 0) end
      return ...
    end
    return function(...) return out(library.resume(co, ...)) end
  end
end

return sched
