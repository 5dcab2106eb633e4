-- SPDX-License-Identifier: Apache-2.0
--
-- What tests of one's own scripts have (`vegttt test FILE`): `fake`, which runs an experiment on a model that says what it
-- is told, an evaluator that judges as it is told and a clock that passes only where the script waits, in milliseconds and
-- the same every time; and `judge`, the real evaluator, for tests of tasks and kernels.
--
-- The model is a real one (speaker.lua): it is sampled, scored and trained by the engine, and each answer has the
-- probability that the test gave it at temperature 1. Only the evaluator and the clock are make-believe.
local core = require "vegttt.core"
local csv = require "vegttt.csv"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local select_ = require "vegttt.select"
local speaker = require "vegttt.speaker"
local staged = require "vegttt.staged"
local tasks = require "vegttt.tasks"
local verb = require "vegttt.verb_common"

local fake = {}

local machine = "fake"

-- ── the evaluator and the clock ──────────────────────────────────────────────────────────────────────────────────────

-- The record of a verdict from what a test said: a speedup (0: a wrong answer), a status, or fields.
local function verdict_of(said)
  local v = type(said) == "table" and said or type(said) == "number" and { speedup = said } or { status = said }
  local speedup = v.speedup or 0
  local out = { correct = v.status == nil and speedup > 0 or v.status == "correct_fast" or v.status == "correct_slow", is_copy = false,
    cached = false, speedup_tuned = 0, runtime_us = 0, baseline_us = 0, worst = 0, roofline = 0, feedback = "" }
  out.status = v.status or speedup > 1 and "correct_fast" or speedup > 0 and "correct_slow" or "wrong_output"
  out.speedup, out.speedup_measured = speedup, speedup
  out.speedup_lo, out.speedup_hi = speedup * 0.99, speedup * 1.01
  out.sure = speedup * 0.99 > 1
  for k, x in pairs(v) do
    if k ~= "seconds" then out[k] = x end
  end
  return out, v.seconds or 0
end

-- The engine's core with an evaluator that asks `judge_by(task's name, code)`.
local function make_core(judge_by)
  local over = staged.quiet(setmetatable({}, { __index = core }))
  local clock, waiting, ended, of_task = 0, {}, {}, setmetatable({}, { __mode = "k" })

  function over.now() return clock end
  function over.deadline() end -- by the clock of the process; the scheduler's timers go by this one
  function over.run_sync() end
  function over.content_open() error "a test leaves nothing in the store" end
  function over.task(json)
    local handle, info = core.task(json)
    of_task[handle] = { name = info.name, digest = info.digest }
    return handle, info
  end
  function over.eval_identity() return { version = machine, machine = machine } end
  function over.eval_open() return {}, { version = machine, machine = machine } end
  function over.eval_cancel() end
  function over.eval_key(_, task, code, o)
    return core.sha256(table.concat({ of_task[task].digest, code, o.protocol, o.tier, tostring(o.replicate), tostring(o.confirms) }, "\0"))
  end
  function over.eval_submit(_, task, code, o)
    local fields, seconds = verdict_of(judge_by(of_task[task].name, code, o.protocol))
    local op = { at = clock + seconds, fields = fields }
    waiting[#waiting + 1] = op
    return op
  end
  function over.result(op)
    if type(op) ~= "table" then return core.result(op) end
    return true, core.json_encode { v = 1, evaluator = machine, machine = machine, flags = core.array {} }, op.fields
  end
  function over.running() return core.running() + #waiting + #ended end

  -- Moves the clock by `seconds`, but not past the verdict that comes next.
  local function pass(seconds)
    for _, op in ipairs(waiting) do seconds = math.min(seconds, math.max(0, op.at - clock)) end
    if seconds < math.huge then clock = clock + seconds end
    for i = #waiting, 1, -1 do
      if waiting[i].at <= clock then table.insert(ended, 1, table.remove(waiting, i)) end
    end
  end
  function over.turn(timeout_s)
    local is_busy = core.running() > 0
    pass(is_busy and 0 or timeout_s < 0 and math.huge or timeout_s)
    local done, n_signals, parts, told = core.turn(#ended == 0 and is_busy and timeout_s or 0)
    table.move(ended, 1, #ended, #done + 1, done)
    ended = {}
    return done, n_signals, parts, told
  end
  return over
end

-- ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local function temporary_folder()
  local dir = os.tmpname()
  os.remove(dir)
  core.mkdir(dir)
  return dir
end

-- The answers as speaker.make takes them: a body, and what ends the function.
local function pieces_of(answers)
  local out = {}
  for i, a in ipairs(answers) do
    if type(a) ~= "table" or type(a[1]) ~= "string" or type(a[2]) ~= "number" then
      errors.misuse("fake.run", "fake.run: answer %d must be { the text between the braces, its probability }", i)
    end
    out[i] = { pieces = { a[1], "\n}\n" }, p = a[2] }
  end
  return out
end

local function load_experiment(what)
  return function(vt)
    if type(what) == "string" then return vt.load(what) end
    return what(vt)
  end
end

local function is_of(e, name) return e.params[name] ~= nil end

local options = { answers = "table", verdict = "function", runs = "string" }

---Runs an experiment: a file, or a function that makes one of vt. params: by name. o: answers = { { body, probability }, … },
---verdict = function(task's name, code, protocol) that returns a speedup (0: wrong), a status, or fields of a verdict with
---`seconds`, how long it takes; runs = a folder that runs are kept in. -> { result, tables = { name = rows }, samples, meter, seconds, said }
function fake.run(what, params, o)
  o = errors.options("fake.run", o, options)
  local dir = temporary_folder()
  local over = make_core(o.verdict or function() return 1 end)
  local ok, out = pcall(function()
    speaker.make(dir .. "/model", pieces_of(o.answers or { { "  return;", 1 } }))
    local given = {}
    for k, v in pairs(params or {}) do given[k] = v end
    return staged.execute(over, function(vt)
      local e = load_experiment(what)(vt)
      if is_of(e, "temperature") and given.temperature == nil then given.temperature = 1.0 end
      return e
    end, given, { root = o.runs or dir .. "/runs", model = dir .. "/model" })
  end)
  local result
  if ok and out.status == "done" then
    result = { result = out.value, tables = {}, meter = out.meter, seconds = over.now(), said = table.concat(over.lines),
      samples = run_files.samples(out.run.dir) }
    for name, written in pairs(out.tables) do result.tables[name] = csv.records(written) end
  end
  core.remove(dir)
  if not ok then error(out, 0) end
  if not result then error(tostring(out.value), 2) end
  return result
end

---Which of the candidates a rule picks: their places. Each is a table of the fields that matter (n_tokens, logprob, speedup, …);
---the others are made up. One that is not correct says correct = false.
function fake.pick(rule, candidates, o)
  local correct = {}
  for i, fields in ipairs(candidates) do
    correct[i] = { correct = true }
    for name, v in pairs(fields) do correct[i][name] = v end
  end
  local group, places = select_.made_up(correct), {}
  for i, s in ipairs(select_.apply(rule, { group }, o)[1].samples) do places[i] = s.i end
  return table.unpack(places)
end

---The real evaluator's verdict of code for a task: a table of its record. task: an id, a name, a file, or a task file's table.
function fake.judge(task, code, o)
  local t = type(task) == "table" and tasks.of(task) or verb.task(tostring(task))
  return verb.wait(function() return verb.judge(t, code, errors.options("judge", o, { protocol = { "fast", "full" }, fresh = "boolean" })) end)
end

return fake
