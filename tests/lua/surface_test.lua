-- SPDX-License-Identifier: Apache-2.0
--
-- The surface without a model: scheduling, misuse, parameters, helpers, rewards, statistics, tables.
local core = require "vegttt.core"
local support = dofile "tests/lua/support_fake.lua"

-- fn(vt, run, p, modules) inside main of a run over the fake engine; errors fail the test.
local function inside(fn, o)
  o = o or {}
  o.root = support.folder()
  local m
  local r = support.execute(function(vt, modules)
    m = modules
    return support.main(function(run, p) return fn(vt, run, p, m) end)(vt)
  end, o.given, o)
  support.remove(o.root)
  if r.status ~= "done" and not o.may_fail then
    error(tostring(r.value) .. "\n" .. tostring(r.value and r.value.traceback), 0)
  end
  return r
end

-- A call that waits: one virtual tick.
local function wait(vt, m, value, n)
  local f = m.sched.future()
  m.sched.after(n or 1, function() f:settle(true, value) end)
  return m.sched.await(f, "wait")
end

local function loaded() return support.modules(support.core()) end

describe("scheduler", function()
  it("keeps the order of vt.map and honours its limit", function()
    inside(function(vt, _, _, m)
      local running, most = 0, 0
      local out = vt.map({ 3, 1, 2 }, function(x)
        running = running + 1
        most = math.max(most, running)
        wait(vt, m, nil, x)
        running = running - 1
        return x * 10
      end, { limit = 2 })
      expect.same(out, { 30, 10, 20 })
      expect.equal(most, 2)
    end)
  end)

  it("gives vt.each in completion order and vt.all in the list's", function()
    inside(function(vt, _, _, m)
      local function later(n) return function() wait(vt, m, nil, n) return n end end
      expect.same(vt.each({ 3, 1, 2 }, function(n) return later(n)() end), { 1, 2, 3 })
      expect.same(vt.all { later(2), later(1) }, { 2, 1 })
    end)
  end)

  it("cancels the losers of a race and the siblings of an error", function()
    inside(function(vt, _, _, m)
      local closed = {}
      local function slow(name)
        return function()
          local _ <close> = setmetatable({}, { __close = function() closed[#closed + 1] = name end })
          wait(vt, m, nil, 50)
          closed[#closed + 1] = "finished " .. name
        end
      end
      expect.equal(vt.race { slow "a", function() wait(vt, m, nil, 1) return "won" end }, "won")
      expect.same(closed, { "a" })
      expect.raises("bang", function() vt.all { slow "b", function() wait(vt, m, nil, 1) error "bang" end } end)
      expect.same(closed, { "a", "b" })
    end)
  end)

  it("joins spawned children before their scope ends, and raises their errors there", function()
    inside(function(vt, _, _, m)
      local done = false
      vt.map({ 1 }, function() vt.spawn(function() wait(vt, m, nil, 5) done = true end) end)
      expect.equal(done, true)
      expect.raises("from a child",
        function() vt.map({ 1 }, function() vt.spawn(function() error "from a child" end) end) end)
      local h = vt.spawn(function() return wait(vt, m, 7) end)
      expect.equal(h:join(), 7)
    end)
  end)

  it("ends what takes longer than vt.timeout", function()
    inside(function(vt, _, _, m)
      expect.equal(vt.timeout(5, function() return wait(vt, m, "in time") end), "in time")
      local e = expect.raises("not done after 2 s", vt.timeout, 2, function() wait(vt, m, nil, 50) end)
      expect.equal(e.kind, "cancelled")
    end)
  end)

  it("waits through pcall, iterators and the script's own coroutines", function()
    inside(function(vt, _, _, m)
      local co = {}
      for k, v in pairs(coroutine) do co[k] = v end
      m.sched.install(co)
      local gen = co.wrap(function()
        for i = 1, 3 do coroutine.yield(wait(vt, m, i)) end
      end)
      local got = {}
      for v in gen do got[#got + 1] = v end
      expect.same(got, { 1, 2, 3 })
      expect.equal(select(2, pcall(wait, vt, m, "through pcall")), "through pcall")
      local t = setmetatable({}, { __index = function(_, k) return wait(vt, m, k) end })
      expect.equal(t.field, "field")
    end)
  end)

  it("says where Lua cannot wait, and names the function", function()
    inside(function(vt)
      local w = vt.policy("fake"):start()
      local p = vt.tasks({ ids = "19" })[1]:prompt()
      local e = expect.raises("weights:sample cannot wait here", table.sort, { 1, 2, 3 }, function(a, b)
        w:sample(p, { n = 1 })
        return a < b
      end)
      expect.equal(e.kind, "misuse")
      expect.raises("gsub", string.gsub, "x", "x", function() vt.map({ 1 }, function() end) end)
    end)
  end)

  it("notices that nothing can go on", function()
    local r = inside(function(_, _, _, m) m.sched.await(m.sched.future(), "never") end, { may_fail = true })
    expect.equal(r.status, "failed")
    expect.contains(r.value, "nothing can go on")
  end)

  it("raises when a primitive is called while a file loads", function()
    local m = loaded()
    expect.raises("cannot be called while a file is loading", m.vegttt.policy, "default")
    expect.raises("call it inside main", m.vegttt.map, { 1 }, print)
  end)
end)

describe("misuse", function()
  it("names the caller's line and the nearest key", function()
    inside(function(vt)
      local w = vt.policy("fake"):start()
      local p = vt.tasks({ ids = "19" })[1]:prompt()
      local e = expect.raises("unknown option 'tempereture'; did you mean 'temperature'?", w.sample, w, p,
        { n = 1, tempereture = 1 })
      expect.contains(e, "surface_test.lua:")
      expect.raises("option 'n' must be a integer", w.sample, w, p, { n = 1.5 })
      expect.raises("vt has no 'polcy'; did you mean 'policy'?", function() return vt.polcy end)
      expect.raises("did you mean 'fast_sure'?", function() return vt.stats.fast_shure end)
      expect.raises("vt.tasks: unknown option 'splt'", vt.tasks, { splt = "x" })
      expect.raises("subset = half is none of train, eval", vt.tasks, { subset = "half" })
      expect.raises("task 7 is not in the eval half", vt.tasks, { split = "splits/l1_seed42.json", subset = "eval",
        ids = "7" })
      expect.raises("unknown target 'kw'", vt.policy, "fake", { targets = { "kw" } })
      expect.raises("never named", function() error "never named" end)
    end)
  end)

  it("refuses a split whose hash does not hold", function()
    inside(function(vt)
      local dir = support.folder()
      local text = core.read("splits/l1_seed42.json"):gsub('"seed": 42', '"seed": 43')
      core.write(dir .. "/bad.json", text)
      expect.raises("bad.json", vt.tasks, { split = dir .. "/bad.json" })
      support.remove(dir)
    end)
  end)

  it("checks experiments and strict globals", function()
    local m = loaded()
    local vt = m.vegttt
    expect.raises("name = \"…\" is needed", vt.experiment, { main = print })
    expect.raises("main = function(run, p)", vt.experiment, { name = "x" })
    expect.raises("unknown option 'man'; did you mean 'main'?", vt.experiment, { name = "x", man = print })
    local dir = support.folder()
    local function load_text(text)
      core.write(dir .. "/x.lua", text)
      return vt.load(dir .. "/x.lua")
    end
    expect.raises("there is no global 'pritn'; did you mean 'print'?", load_text, "pritn(1)")
    expect.raises("assignment to the undeclared global 'y'; write `local y`", load_text, "y = 1")
    expect.raises("x.lua:1:", load_text, "local = 3")
    expect.raises("ends with `return vt.experiment { … }`", load_text, "return 3")
    support.remove(dir)
  end)
end)

describe("parameters", function()
  local function resolve(given, declared)
    local params = loaded().params
    return params.resolve(params.common(declared), given, "flag")
  end

  it("takes types from defaults and records origins", function()
    local values, origins = resolve({ k = "8", temperature = "0.25", tasks = "4, 5,12", on = "true" },
      { tasks = { "1,2", "ids", list = true }, on = { false, "switch" }, lr = { 1e-4, "rate" } })
    expect.equal(values.k, 8)
    expect.equal(math.type(values.k), "integer")
    expect.equal(values.temperature, 0.25)
    expect.same(values.tasks, { 4, 5, 12 })
    expect.equal(values.on, true)
    expect.equal(values.max_tokens, nil)
    expect.equal(origins.k.origin, "flag")
    expect.equal(origins.lr.origin, "default")
    expect.equal(origins.max_tokens.origin, "model record")
  end)

  it("refuses what does not fit, in one sentence", function()
    expect.raises("--k must be a whole number, not '3.5'", resolve, { k = "3.5" })
    expect.raises("--k must be at least 1, not 0", resolve, { k = "0" })
    expect.raises("--top_p must be at most 1", resolve, { top_p = "2" })
    expect.raises("--how must be one of a, b, not 'c'", resolve, { how = "c" },
      { how = { "a", "", choices = { "a", "b" } } })
    expect.raises("there is no parameter 'steps_'; did you mean 'steps'?", resolve, { steps_ = "1" },
      { steps = { 1, "" } })
  end)
end)

describe("vectors", function()
  it("compute elementwise and keep C's floats", function()
    local v = core.vector { 1, 2, 3 }
    expect.equal((v + 1)[3], 4)
    expect.equal((2 * v - v)[2], 2)
    expect.equal((v / v):sum(), 3)
    expect.equal((-v):min(), -3)
    expect.equal(v:max(), 3)
    expect.equal(v:mean(), 2)
    expect.equal(#v, 3)
    expect.equal(v[4], nil)
    expect.equal(v == core.vector { 1, 2, 3 }, true)
    expect.near((v - v):exp():sum(), 3)
    expect.equal(v:clamp(2, 2.5)[3], 2.5)
    expect.raises("do not go together", function() return v + core.vector { 1 } end)
    expect.raises("not a number", core.vector, { 1, "x" })
    expect.raises("do not change", function() v[1] = 2 end)
    expect.equal(core.json_encode(v), "[1,2,3]")
  end)
end)

describe("json", function()
  it("is canonical and round-trips numbers, empty arrays and big integers", function()
    expect.equal(core.json_encode { b = 1, a = { 1.5, "x\n" }, c = core.array {} }, '{"a":[1.5,"x\\n"],"b":1,"c":[]}')
    local x = 0.1 + 0.2
    expect.equal(core.json_decode(core.json_encode { x }, "t")[1], x)
    expect.equal(core.json_encode(core.json_decode('{"e":[],"o":{}}', "t")), '{"e":[],"o":{}}')
    expect.equal(core.json_encode { 0 / 0 }, "[null]")
    expect.equal(core.json_encode { 1 << 60 }, '["1152921504606846976"]')
    expect.raises("use string keys", core.json_encode, { [1.5] = 1 })
    expect.raises("nested deeper", function()
      local t = {}
      t.t = t
      core.json_encode(t)
    end)
    expect.raises("cannot be written", core.json_encode, print)
  end)
end)

describe("helpers", function()
  local vt = loaded().vegttt
  it("keep order among equals", function()
    local list = { { n = 2, i = 1 }, { n = 1, i = 2 }, { n = 2, i = 3 }, { n = 1, i = 4 } }
    local order = {}
    for i, x in ipairs(vt.sort_by(list, "n")) do order[i] = x.i end
    expect.same(order, { 2, 4, 1, 3 })
    expect.equal(#vt.lowest(list, "n", 3), 3)
    expect.equal(#vt.lowest(list, "n", 3, { ties = "all" }), 4)
    expect.equal(vt.max_by(list, "n").i, 1)
    expect.equal(vt.min_by(list, function(x) return -x.i end).i, 4)
    expect.same(vt.powers(2, 12), { 1, 2, 4, 8, 12 })
    expect.same(vt.integers "4,5,12-14", { 4, 5, 12, 13, 14 })
    expect.equal(#vt.grid { a = { 1, 2 }, b = { 1, 2, 3 } }, 6)
    expect.equal(vt.group_by(list, "n").by[1][2].i, 4)
    expect.raises("'x' is not a number", vt.integers, "x")
  end)

  it("draw the same stream for the same label", function()
    inside(function(_, run)
      local a, b, c = run:rng "x", run:rng "x", run:rng "y"
      expect.equal(a:uniform(), b:uniform())
      expect.truthy(a:uniform() ~= c:uniform(), "labels differ")
      local counts = {}
      for _ = 1, 600 do
        local k = a:int(1, 3)
        counts[k] = (counts[k] or 0) + 1
      end
      expect.truthy(counts[1] > 140 and counts[2] > 140 and counts[3] > 140, "uniform over 1..3")
      table.sort(counts)
      local s = a:shuffle { 1, 2, 3, 4 }
      table.sort(s)
      expect.same(s, { 1, 2, 3, 4 })
    end)
  end)
end)

-- Groups of two tasks from lists of speedups; 0 = not correct.
local function groups_of(...)
  local out = {}
  for t, speeds in ipairs { ... } do
    local g = { task = { id = t, name = "t" .. t, family = "f" } }
    for i, x in ipairs(speeds) do
      g[i] = { i = i, tokens = { 1 }, task = g.task, text = "", logprob = -i, n_tokens = i,
        result = { correct = x > 0, speedup = x, speedup_measured = x, speedup_lo = x * 0.9, is_copy = false,
        status = x > 1 and "correct_fast" or x > 0 and "correct_slow" or "wrong_output" } }
    end
    out[t] = g
  end
  return out
end

local function column(groups, key)
  local out = {}
  for _, g in ipairs(groups) do
    for _, s in ipairs(g) do out[#out + 1] = s[key] end
  end
  return out
end

describe("rewards and advantages", function()
  local vt = loaded().vegttt
  it("compute what they say", function()
    local g = groups_of({ 20, 0, 1 }, { 2, 4, 8 })
    expect.same(column(vt.reward.raw()(g), "reward"), { 20, 0, 1, 2, 4, 8 })
    expect.same(column(vt.reward.default()(g), "reward"), { 10, 0, 1, 2, 4, 8 })
    expect.same(column(vt.reward.normalized()(g), "reward"), { 20 / 10.5, 0, 1 / 10.5, 0.5, 1, 2 })
    expect.same(column(vt.reward.paper()(g), "reward"), { 20, 0, 1 / 20, 2, 2, 8 / 3 })
    local logs = column(vt.reward.log()(g), "reward")
    expect.near(logs[1], math.log(20))
    expect.near(logs[2], -1)
    expect.raises("unknown option 'maxx'", vt.reward.clip, { maxx = 3 })
  end)

  it("centre and scale", function()
    local g = vt.reward.raw()(groups_of({ 1, 3 }, { 5, 7 }))
    local z = column(vt.advantage.batch_z()(g), "advantage")
    expect.near(z[1] + z[2] + z[3] + z[4], 0)
    expect.near(z[4], 3 / math.sqrt(20 / 3))
    expect.near(column(vt.advantage.group_z()(g), "advantage")[2], math.sqrt(0.5))
    expect.same(column(vt.advantage.loo()(g), "advantage"), { -2, 2, -2, 2 })
    expect.same(column(vt.advantage.none()(g), "advantage"), { 1, 3, 5, 7 })
    local equal = vt.reward.raw()(groups_of { 2, 2, 2 })
    expect.same(column(vt.advantage.batch_z()(equal), "advantage"), { 0, 0, 0 })
    vt.advantage.loo { drop_equal = true }(equal)
    expect.equal(equal[1].dropped, true)
    local e = column(vt.advantage.entropic { beta = "adaptive" }(vt.reward.raw()(groups_of { 0, 0, 0, 4 })),
      "advantage")
    expect.truthy(e[4] > 0 and e[1] < 0, "the best is raised")
  end)
end)

describe("statistics", function()
  local vt = loaded().vegttt
  it("take the task as the unit", function()
    local g = groups_of({ 2, 0, 0, 0 }, { 2, 2 })
    expect.near(vt.stats.fast(g, 1).value, 0.625)
    expect.near(vt.stats.rate(g, "correct").value, 0.625)
    expect.equal(vt.stats.fast(g, 1).n, 2)
    expect.equal(vt.stats.fast(g, 1).n_samples, 6)
    expect.near(vt.stats.fast_sure(g, 1.9).value, 0)
    expect.near(vt.stats.pass_at_k(g, 2).value, (1 - 3 / 4 * 2 / 3 + 1) / 2)
    expect.near(vt.stats.best_of_k(g, 2).value, (0.5 * 2 + 2) / 2)
    expect.near(vt.stats.task_success(g).value, 1)
    local rows = vt.stats.by_task(g)
    expect.equal(rows[1].speedup, 2)
    expect.near(rows[1].correct, 0.25)
  end)

  it("match published values", function()
    expect.near(vt.stats.cohens_h(0.8, 0.5), 0.6435, 5e-5)
    expect.near(vt.stats.sign_test(3, 0).p, 0.25)
    expect.near(vt.stats.sd { 42.5, 20.0, 29.4 }, 11.30, 0.005)
    expect.near(vt.stats.summary { 1, 2, 3, 4 }.median, 2.5)
  end)

  it("count copies as the papers do and not as sure", function()
    local g = groups_of { 2 }
    g[1][1].result.is_copy, g[1][1].result.speedup = true, 1
    expect.near(vt.stats.fast(g, 1).value, 1)
    expect.near(vt.stats.fast_sure(g, 1).value, 0)
  end)
end)

describe("selection", function()
  local vt = loaded().vegttt
  it("bills what a rule measures and hides the rest", function()
    local g = groups_of({ 2, 5, 0 }, { 0, 0 })
    local best = vt.select.apply(vt.select.rules.oracle, g)
    expect.equal(best.cost.measures, 2)
    expect.equal(best:mean "speedup", 5)
    expect.near(best:fast(1).value, 0.5)
    expect.equal(vt.select.apply(vt.select.rules.surprisal, g):mean "speedup", 5)
    expect.equal(vt.select.apply(vt.select.rules.confidence, g).cost.measures, 0)
    expect.raises("cannot read 'speedup'", vt.select.apply, function(cs) return cs[1].speedup and cs[1] end, g)
    expect.raises("it must return a candidate", vt.select.apply, function() return 3 end, g)
    local all = vt.select.apply({ name = "check", mode = "before_check",
      pick = function(cs) return vt.find(cs, function(c) return c:check() end) or cs[1] end }, g)
    expect.equal(all.cost.checks, 3)
  end)

  it("stops after patience", function()
    local s = vt.early_stop { patience = 2, min_delta = 0.1 }
    expect.equal(s:offer(1, { step = 0 }), "best")
    expect.equal(s:offer(1.05, { step = 1 }), "worse")
    expect.equal(s:offer(2, { step = 2 }), "best")
    expect.equal(s:offer(0, { step = 3 }), "worse")
    expect.equal(s:offer(0, { step = 4 }), "stop")
    expect.equal(s:best().step, 2)
  end)
end)

describe("a run", function()
  it("writes tables, plots, metrics and values", function()
    inside(function(vt, run)
      local t = run:table("curve", { "k", "pass", "lo", "hi" })
      t:row(1, vt.stats.mean_ci { 0, 1, 1 })
      t:row(2, 0.5)
      expect.contains(t:csv(), "k,pass,lo,hi")
      expect.raises("5 values for the 4 columns", t.row, t, 1, 2, 3, 4, 5)
      local svg = run:plot("curve", { data = t, x = "k", y = "pass", band = { "lo", "hi" }, logx = 2 })
      expect.contains(core.read(svg), "<svg")
      run:log("note", { step = 1, value = 0.5, nested = { 1, 2 } })
      expect.contains(core.read(run.dir .. "/metrics.jsonl"), '"kind":"note"')
      local path = run:save("answer", { a = 1 })
      expect.equal(core.read(path), '{"a":1}\n')
      expect.raises("a run has no field 'sav'; did you mean 'save'?", function() return run.sav end)
      expect.raises("run:plot needs data", run.plot, run, "x", {})
    end)
  end)

  it("sweeps, reads finished cells back and lists failed ones", function()
    inside(function(vt, run)
      local calls = 0
      local cell = vt.experiment { name = "cell", params = { a = { 1, "x" }, b = { 1, "y" } }, main = function(_, p)
        calls = calls + 1
        if p.a == 3 then error "three is bad" end
        return { sum = p.a + p.b }
      end }
      local grid = vt.grid { a = { 1, 2, 3 } }
      local cells = run:sweep(cell, grid, { fixed = { b = 10 } })
      expect.equal(#cells, 3)
      expect.equal(cells[2].sum, 12)
      expect.equal(cells.failed, 1)
      expect.contains(cells[3].error, "three is bad")
      run:sweep(cell, { { a = 1 } }, { fixed = { b = 10 } })
      expect.equal(calls, 3)
    end)
  end)
end)
