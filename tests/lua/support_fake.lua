-- SPDX-License-Identifier: Apache-2.0
--
-- A fake engine for tests: the real core with a model and an evaluator that are a few lines of Lua, a virtual clock, and
-- operations that end in an order permuted from a seed. Everything above the core (keys, records, scheduling) is real.
--
-- The fake model writes one of seven bodies, chosen by the sample's seed; training makes the fast ones likelier. Its
-- tokens are the bytes of the answer. The fake evaluator reads the speedup out of the body.
local real = package.loaded["vegttt.core"] or require "vegttt.core"

local support = {}

local bodies = { "  slow;\n}", "  speed 2;\n}", "  speed 3;\n}", "  broken(;\n}", "  wrong;\n}", "  never closed",
  "  speed 5;\n}" }

local function bytes_of(text)
  local ids = {}
  for i = 1, #text do ids[i] = text:byte(i) end
  return ids
end

local function text_of(ids)
  local out = {}
  for i, id in ipairs(ids) do out[i] = string.char(id) end
  return table.concat(out)
end

local function draw(seed, gain)
  local u = real.uniform(seed, 1)
  if gain > 0 and real.uniform(seed, 2) < gain * 0.2 then return bodies[7] end
  return bodies[1 + math.floor(u * #bodies)]
end

-- Adds the model to fake; counts.drawn[seed/weights] says how often each sample was computed.
local function add_model(fake, submit, counts)
  function fake.policy_open(spec)
    return submit(function()
      if spec ~= "default" and spec ~= "fake" then error("no model " .. spec) end
      return { fake = true }, { spec = spec, caps = { sample = true, score = true, update = true, custom_loss = true,
        agreement = true, tokens = true, prefix = true, ids_ahead = true, seed = "sample", exact = true, n_ctx = 8192,
        n_vocab = 256 }, record = '{"lr":0.1,"temperature":0.6,"max_tokens":64,"stop":["\\n}"]}' }
    end)
  end
  local function weights(id, step, gain)
    return { id = id, step = step, trained_on = '{"tasks":[12],"families":["matmul"]}',
      handle = { id = id, step = step, gain = gain } }
  end
  function fake.policy_weights(_, which) return weights(which == "base" and "b0" or "s0", 0, 0) end
  function fake.policy_encode(_, text) return bytes_of(text) end
  function fake.policy_decode(_, ids) return text_of(ids) end
  function fake.policy_render(_, messages)
    local out = {}
    for i, m in ipairs(messages) do out[i] = m.role .. ": " .. m.content end
    return table.concat(out, "\n")
  end
  function fake.sample(w, _, group)
    local out, seeds = {}, {}
    for j, i in ipairs(group.index) do seeds[j] = real.seed(group.seed, group.stream .. i) end
    local function one(i)
      if out[i] then return out[i] end
      local name = w.id .. real.u64(seeds[i])
      counts.drawn[name] = (counts.drawn[name] or 0) + 1
      counts.n_samples = counts.n_samples + 1
      local ids = bytes_of(draw(seeds[i], w.gain))
      local lp = {}
      for t = 1, #ids do lp[t] = -0.5 - real.uniform(seeds[i], 10 + t) end
      out[i] = { text = text_of(ids):gsub("\n}$", ""), tokens = ids, logprobs = real.vector(lp),
        logprobs_behaviour = real.vector(lp), finish = "stop" }
      return out[i]
    end
    local op = submit(function()
      for i = 1, #seeds do one(i) end
      return out
    end)
    function op.part()
      local i = 1 + counts.n_turns % #seeds
      return i, one(i)
    end
    return op
  end
  function fake.score(_, _, tokens)
    return submit(function() return real.vector(#tokens, -1) end)
  end
  function fake.weights_save(w, path, to_train)
    return submit(function()
      real.mkdir(path)
      real.write(path .. "/state.json", real.json_encode { id = w.id, step = w.step, gain = w.gain,
        is_trainable = to_train })
    end)
  end
  function fake.snapshot_info(_, path)
    path = path .. "/state.json"
    return real.exists(path) and real.json_decode(real.read(path), path) or nil
  end
  function fake.weights_load(_, path)
    return submit(function()
      local j = fake.snapshot_info(nil, path)
      counts.n_loaded = counts.n_loaded + 1
      return weights(j.id, j.step, j.gain)
    end)
  end
end

local function add_training(fake, submit, counts)
  function fake.forward(parent, rows)
    return submit(function() return true end), { rows = rows, w = {}, parent = parent }
  end
  function fake.train_logp(train, i) return real.vector(#train.rows[i].tokens, -1) end
  function fake.train_set(train, i, w) train.w[i] = real.vector(w) end
  function fake.train_loss(train, _, _)
    for i, row in ipairs(train.rows) do
      local a = row.advantage
      train.w[i] = type(a) == "number" and real.vector(#row.tokens, a) or a
    end
  end
  function fake.train_stats(train)
    local n, sum = 0, 0
    for i, row in ipairs(train.rows) do
      n = n + #row.tokens
      sum = sum + train.w[i]:sum()
    end
    return { loss = sum, n_tokens = n, rms_advantage = 1, max_advantage = 2, ess = 1, kl_sample_train = 0 }
  end
  function fake.train_forget() end
  function fake.step(train, o)
    return submit(function()
      counts.n_steps = counts.n_steps + 1
      local parent = train.parent
      local id = real.sha256(parent.id .. o.digest .. tostring(o.lr))
      return { id = id, step = parent.step + 1, trained_on = o.trained_on,
        handle = { id = id, step = parent.step + 1, gain = parent.gain + 1 } }, { grad_norm = 1, agreement = 0 / 0 }
    end)
  end
  function fake.update(parent, rows, _, o)
    local train = { rows = rows, w = {}, parent = parent }
    fake.train_loss(train)
    return fake.step(train, o), train
  end
end

local function add_evaluator(fake, submit, counts)
  function fake.eval_open() return {}, { version = "fake 1", machine = "fake machine" } end
  function fake.eval_cancel() end
  function fake.eval_submit(_, _, code)
    return submit(function()
      counts.n_evals = counts.n_evals + 1
      local speed = tonumber(code:match "speed (%d+)") or code:find "slow" and 0.5 or 0
      local status = speed > 1 and "correct_fast" or speed > 0 and "correct_slow" or code:find "broken"
        and "compile_error" or "wrong_output"
      return '{"stages":["build"],"flags":[]}', { status = status, correct = speed > 0, is_copy = false,
        cached = false, speedup = speed, speedup_measured = speed, speedup_lo = speed * 0.9, speedup_hi = speed * 1.1,
        speedup_tuned = 0, runtime_us = 1, baseline_us = speed, worst = 0.1, roofline = 0, feedback = "It ran." }
    end)
  end
end

---o: { schedule = seed, kill_at = n-th turn that dies, signal_at = n-th turn that brings an interrupt }.
function support.core(o)
  o = o or {}
  local counts = { drawn = {}, n_samples = 0, n_evals = 0, n_steps = 0, n_loaded = 0, n_turns = 0 }
  local pending, clock, draws = {}, 1000, 0
  local fake = setmetatable({ tty = false, counts = counts }, { __index = real })
  local function submit(fn)
    local op = { fn = fn }
    pending[#pending + 1] = op
    return op
  end
  local function pick(n)
    draws = draws + 1
    return 1 + math.floor(real.uniform(o.schedule or 1, draws) * n)
  end
  -- Now and then a sample ends before its group does.
  local function early()
    local parts = {}
    for _, op in ipairs(pending) do
      if op.part and pick(3) == 1 then parts[#parts + 1] = { op, op.part() } end
    end
    return parts
  end
  function fake.now() return clock end
  function fake.running() return #pending end
  function fake.cancel() end
  function fake.turn(timeout_s)
    counts.n_turns = counts.n_turns + 1
    if counts.n_turns == o.kill_at then error("killed", 0) end
    clock = clock + (#pending == 0 and math.max(0, math.min(timeout_s, 1e6)) or 0.1)
    local done, parts = {}, early()
    for _ = 1, #pending > 0 and pick(#pending) or 0 do done[#done + 1] = table.remove(pending, pick(#pending)) end
    return done, (o.signal_at and counts.n_turns >= o.signal_at) and 1 or 0, parts
  end
  function fake.result(op)
    local results = table.pack(pcall(op.fn))
    return table.unpack(results, 1, results.n)
  end
  fake.lines = {}
  function fake.progress() end
  function fake.run_sync() end
  function fake.out(text) fake.lines[#fake.lines + 1] = text end
  function fake.err(text) fake.lines[#fake.lines + 1] = text end
  function fake.content_open() error "no store in tests" end
  add_model(fake, submit, counts)
  add_training(fake, submit, counts)
  add_evaluator(fake, submit, counts)
  return fake
end

---A fresh copy of the Lua half over a core: function(name) -> module.
function support.modules(core)
  local kept = {}
  for name, m in pairs(package.loaded) do
    if name:find "^vegttt" then
      kept[name] = m
      package.loaded[name] = nil
    end
  end
  package.loaded["vegttt.core"] = core
  local loaded = { vegttt = require "vegttt" }
  for _, name in ipairs { "errors", "sched", "run", "params", "experiment", "policy", "session", "stats", "tables",
      "main" } do
    loaded[name] = require("vegttt." .. name)
  end
  for name in pairs(package.loaded) do
    if name:find "^vegttt" then package.loaded[name] = nil end
  end
  for name, m in pairs(kept) do package.loaded[name] = m end
  real.set_error_metatable(getmetatable(loaded.errors.new {}))
  return loaded
end

local n_folders = 0

---A new empty folder that is removed when the tests end.
function support.folder()
  n_folders = n_folders + 1
  local dir = os.tmpname() .. ".d" .. n_folders
  os.remove((dir:gsub("%.d%d+$", "")))
  real.mkdir(dir)
  return dir
end

function support.remove(dir) real.remove(dir) end

---fn(root) with a new folder that is gone afterwards; its errors are the caller's.
function support.in_folder(fn)
  local root = support.folder()
  local ok, e = xpcall(fn, function(e) return debug.traceback(tostring(e), 2) end, root)
  support.remove(root)
  if not ok then error(e, 0) end
end

-- Runs the experiment that make(vt) returns. -> { status, value, tables = { name = csv }, run, counts }
local function execute(make, given, o)
  local core = o.core or support.core(o)
  local m = support.modules(core)
  local e = make(m.vegttt, m)
  local values, origins = m.params.resolve(e.params, given or {}, "flag")
  local r = m.run.open(e, values, origins, { root = o.root, name = o.name, limits = o.limits, replicate = o.replicate })
  r:begin()
  local ok, status, value = pcall(m.sched.run, function() return e.main(r:script_view(), values) end, r, {})
  local out = { status = ok and status or "killed", value = ok and value or status, tables = {}, run = r,
    counts = core.counts, modules = m, core = core }
  for name, t in pairs(r.tables) do out.tables[name] = t:csv() end
  if status == "done" and ok then r:finish(value) end
  out.meter = r.meter:copy()
  r:close()
  return out
end
support.execute = execute

---fn(run, p) as main over the real engine, in a folder of its own; its errors are the test's.
function support.run(given, fn)
  local vt, run, sched = require "vegttt", require "vegttt.run", require "vegttt.sched"
  local params = require "vegttt.params"
  local root = support.folder()
  local e = vt.experiment { name = "test", doc = "a test", params = vt.params {}, main = fn }
  local values, origins = params.resolve(e.params, given, "flag")
  local r = run.open(e, values, origins, { root = root })
  r:begin()
  local status, value = sched.run(function() return fn(r:script_view(), values) end, r, {})
  r:close()
  support.remove(root)
  if status ~= "done" then error(("%s: %s\n%s"):format(status, tostring(value), value and value.traceback or ""), 0) end
  return value
end

---An experiment file of the project over the fake engine.
function support.file(path)
  return function(vt, m)
    local chunk = assert(loadfile(path, "t", setmetatable({ require = function(name) return name == "vegttt" and vt
      or require(name) end }, { __index = _G })))
    local e = chunk()
    assert(m.experiment.is(e))
    return e
  end
end

---main as an experiment with the shared parameters.
function support.main(main, more)
  return function(vt)
    local e = { name = "test", doc = "a test", params = vt.params {},
      main = function(run, p) return main(run, p, vt) end }
    for k, v in pairs(more or {}) do e[k] = v end
    return vt.experiment(e)
  end
end

return support
