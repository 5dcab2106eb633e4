-- SPDX-License-Identifier: Apache-2.0
--
-- What tests put around the engine's core, and nothing else: when finished operations are handed over and in which
-- order, a death or an interrupt at the n-th turn, a clock, and the counts of what was asked for. The language model and
-- the evaluator are the real ones.
--
-- stage.real(o): every turn waits until all running operations have ended, then hands over some of them in an order
-- drawn from o.schedule, so that a run takes the same turns every time and another schedule another way. Verdicts are
-- remembered per task, code and protocol while the process lives: measured times differ from call to call, and what a
-- schedule or a resume may change must not hide behind that. o.again(code, fields) changes second verdicts: that a kernel
-- fails when it is judged again cannot be had on purpose.
-- stage.clock(): no operations, and time that passes only in turns.
local real = require "vegttt.core"

local stage = {}

local quiet = require("vegttt.staged").quiet

-- ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────

function stage.clock()
  local core, clock = quiet(setmetatable({}, { __index = real })), 1000
  function core.now() return clock end
  function core.running() return 0 end
  function core.turn(timeout_s)
    clock = clock + math.max(0, math.min(timeout_s, 1e6))
    return {}, 0, {}
  end
  return core
end

-- ── verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local evaluators, verdicts = {}, {} -- of the process
local digests = setmetatable({}, { __mode = "k" }) -- task handle -> digest

-- The i-th evaluator that a stage opens: its processes are shared by all stages.
local function evaluator(i, o)
  if not evaluators[i] then evaluators[i] = table.pack(real.eval_open(o)) end
  return evaluators[i][1], evaluators[i][2]
end

local function with(fields, more)
  local out = {}
  for k, v in pairs(fields) do out[k] = v end
  for k, v in pairs(more) do out[k] = v end
  return out
end

local function add_evaluator(core, o, ended, answers)
  local opened = {}
  core.asked_again, core.n_opened = {}, 0
  function core.task(json)
    local handle, info = real.task(json)
    digests[handle] = info.digest
    return handle, info
  end
  function core.eval_open(options)
    core.n_opened = core.n_opened + 1
    local handle, info = evaluator(core.n_opened, options)
    opened[handle] = core.n_opened
    return handle, info
  end
  function core.eval_submit(handle, task, code, options)
    core.counts.n_evals = core.counts.n_evals + 1
    local is_again = options.protocol == "full"
    if is_again then
      table.insert(core.asked_again, { code = code, evaluator = opened[handle], fresh = options.fresh })
    end
    local key = table.concat({ digests[task], options.protocol, code }, "\n")
    local function answer(json, fields)
      verdicts[key] = verdicts[key] or { json, fields }
      json, fields = table.unpack(verdicts[key])
      local change = is_again and o.again or not is_again and o.clock
      return json, with(fields, change and change(code, fields) or {})
    end
    local op = not verdicts[key] and real.eval_submit(handle, task, code, options) or { key = key }
    answers[op] = answer
    if verdicts[key] then ended[#ended + 1] = op end
    return op
  end
end

-- ── the stage of the real core ───────────────────────────────────────────────────────────────────────────────────────

local function add_counts(core)
  local counts = { drawn = {}, n_samples = 0, n_evals = 0, n_steps = 0, n_loaded = 0, n_turns = 0 }
  core.counts = counts
  function core.sample(weights, prompt, group, options)
    for _, i in ipairs(group.index) do
      local seed = real.u64(real.seed(group.seed, group.stream .. i))
      counts.drawn[seed] = (counts.drawn[seed] or 0) + 1
      counts.n_samples = counts.n_samples + 1
    end
    return real.sample(weights, prompt, group, options)
  end
  for _, name in ipairs { "step", "update" } do
    core[name] = function(...)
      counts.n_steps = counts.n_steps + 1
      return real[name](...)
    end
  end
  function core.weights_load(...)
    counts.n_loaded = counts.n_loaded + 1
    return real.weights_load(...)
  end
  return counts
end

-- Takes each element with probability a half, at least one of them, in a drawn order.
local function take_some(list, draw)
  local out = {}
  local n = #list > 0 and 1 + math.floor(draw() * #list) or 0
  for _ = 1, n do out[#out + 1] = table.remove(list, 1 + math.floor(draw() * #list)) end
  return out
end

---o: { clock = fn(code, fields) -> fields to change in first verdicts, schedule = seed, kill_at = the turn that dies, signal_at = the turn that brings an interrupt, again = fn(code,
---fields) -> fields to change in second verdicts, store = folder of a content store }.
function stage.real(o)
  o = o or {}
  local core = quiet(setmetatable({ is_real = true }, { __index = real }))
  local counts = add_counts(core)
  local ended, parts, answers, n_draws = {}, {}, {}, 0
  local function draw()
    n_draws = n_draws + 1
    return real.uniform(o.schedule or 1, n_draws)
  end
  add_evaluator(core, o, ended, answers)

  -- Waits until nothing runs any more; pieces of results come in the order of their operations and places.
  local function collect(timeout_s)
    local came = {}
    repeat
      local ops, _, pieces = real.turn(real.running() > 0 and 1 or timeout_s)
      table.move(ops, 1, #ops, #ended + 1, ended)
      table.move(pieces, 1, #pieces, #came + 1, came)
    until real.running() == 0
    table.sort(came, function(a, b) return a[2] < b[2] end)
    table.move(came, 1, #came, #parts + 1, parts)
  end

  function core.turn(timeout_s)
    counts.n_turns = counts.n_turns + 1
    if counts.n_turns == o.kill_at then error("killed", 0) end
    collect(#ended > 0 and 0 or timeout_s)
    return take_some(ended, draw), o.signal_at and counts.n_turns >= o.signal_at and 1 or 0, take_some(parts, draw)
  end
  function core.running() return real.running() + #ended end
  function core.result(op)
    if type(op) == "table" then return true, answers[op]() end
    local result = table.pack(real.result(op))
    if result[1] and answers[op] then return true, answers[op](result[2], result[3]) end
    return table.unpack(result, 1, result.n)
  end
  function core.content_open()
    if not o.store then error "this stage has no store" end
    return real.content_open(o.store)
  end
  function core.run_sync() end
  return core
end

return stage
