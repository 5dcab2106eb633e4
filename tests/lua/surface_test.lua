-- SPDX-License-Identifier: Apache-2.0
--
-- The surface where no model is needed: misuse, parameters, closed records, helpers, rewards, statistics, tables.
local core = require "vegttt.core"
local support = require "support"

-- fn(vt, run, p, modules) inside main of a run over the real core.
local function inside(fn)
  support.inside(function(run, p, vt, m) return fn(vt, run, p, m) end)
end

local function loaded() return support.modules(support.stage.real()) end

describe("misuse", function()
  it("names the caller's line and the nearest key", function()
    inside(function(vt)
      local w = vt.policy(support.model()):start()
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
      expect.raises("unknown target 'kw'", vt.policy, support.model(), { targets = { "kw" } })
      expect.raises("never named", function() error "never named" end)
    end)
  end)

  it("refuses a split whose hash does not hold", function()
    inside(function(vt)
      local dir = support.folder()
      local text = core.read("splits/l1_seed42.json"):gsub('"seed": 42', '"seed": 43')
      core.write(dir .. "/bad.json", text)
      expect.raises("bad.json", vt.tasks, { split = dir .. "/bad.json" })
      core.remove(dir)
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
    core.remove(dir)
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

  it("keeps of a shared declaration what a script does not say, except that it may grow", function()
    local vt = loaded().vegttt
    expect.equal(vt.params().k.extend, true)
    local k = vt.params { k = { 4, "rollouts", min = 2 } }.k
    expect.equal(k[1], 4)
    expect.equal(k.min, 2)
    expect.equal(k.max, core.limits.n.max)
    expect.equal(k.extend, nil)
    local lr = vt.adapt_params { lr = { 1e-3 } }.lr
    expect.equal(lr.min, 0)
    expect.equal(lr[2], "learning rate")
    expect.equal(vt.task_params().eval[1], "fast")
    expect.raises("the default of 'k' is none: --k must be at least 1, not 0", vt.params, { k = { 0 } })
    expect.raises("'max_wall' cannot be a parameter's name", vt.params, { max_wall = { 1, "" } })
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
  it("take lists apart and put them together", function()
    local list = { { n = 2 }, { n = 1 }, { n = 2 } }
    expect.equal(#vt.filter(list, function(x) return x.n == 2 end), 2)
    expect.equal(select(2, vt.find(list, function(x) return x.n == 1 end)), 2)
    expect.same(vt.flatten { { 1, 2 }, {}, { 3 } }, { 1, 2, 3 })
    expect.same(vt.numbers "1e-5, 3e-6", { 1e-5, 3e-6 })
    local keys = {}
    for k, v in vt.sorted_pairs { b = 2, a = 1, [3] = 0 } do keys[#keys + 1] = k .. "=" .. v end
    expect.same(keys, { "3=0", "a=1", "b=2" })
    expect.equal(vt.json.encode { b = vt.json.decode "[1,2.5]", a = "x" }, '{"a":"x","b":[1,2.5]}')
  end)

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
    expect.raises("'x' is not a whole number", vt.integers, "x")
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
      local sum, sum2 = 0, 0
      for _ = 1, 2000 do
        local x = b:normal()
        sum, sum2 = sum + x, sum2 + x * x
      end
      expect.near(sum / 2000, 0, 0.1)
      expect.near(sum2 / 2000, 1, 0.15)
      expect.equal(run:rng("z"):pick { 7 }, 7)
      local r = c:random(3)
      expect.truthy(r == 1 or r == 2 or r == 3, "random(3) in 1..3")
      expect.truthy(c:random() < 1 and c:random(5, 5) == 5, "random() and random(5, 5)")
      expect.raises("a random stream has no 'unifrm'; did you mean 'uniform'?", function() return a.unifrm end)
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
    expect.same(column(vt.reward.clip()(g), "reward"), { 10, 0, 1, 2, 4, 8 })
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
    expect.raises("a row of vt.stats.by_task has no 'fast1'; did you mean 'fast_1'?", function() return rows[1].fast1 end)
    expect.equal(rows[1].speedup, 2)
    expect.near(rows[1].correct, 0.25)
  end)

  it("match published values", function()
    expect.near(vt.stats.cohens_h(0.8, 0.5), 0.6435, 5e-5)
    expect.near(vt.stats.sign_test(3, 0).p, 0.25)
    expect.near(vt.stats.sd { 42.5, 20.0, 29.4 }, 11.30, 0.005)
    expect.near(vt.stats.summary { 1, 2, 3, 4 }.median, 2.5)
    expect.near(vt.stats.mean { 1, 2, 6 }, 3)
    expect.near(vt.stats.geometric_mean { 1, 4, 16 }, 4)
    expect.near(vt.stats.quantile({ 1, 2, 3, 4, 5 }, 0.25), 2)
    local w = vt.stats.wilson(8, 10) -- Wilson (1927) as in Brown, Cai and DasGupta (2001)
    expect.near(w.lo, 0.4902, 5e-4)
    expect.near(w.hi, 0.9433, 5e-4)
    expect.near(vt.stats.spearman({ 1, 2, 3, 4, 5 }, { 5, 6, 7, 8, 7 }).value, 0.8208, 5e-4)
    local b = vt.stats.bootstrap({ { 1, 3 }, { 2 }, { 5, 7 } }, { cluster = true, n = 500 })
    expect.near(b.value, 10 / 3)
    expect.equal(b.n, 3)
    expect.raises("a statistic has no 'valeu'; did you mean 'value'?", function() return b.valeu end)
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
    g[1][3].result.speedup = 9 -- of a wrong kernel
    expect.equal(vt.select.apply({ name = "time", mode = "before_check",
      pick = function(cs) return vt.max_by(cs, function(c) return c:measure() end) end }, g)[1].samples[1], g[1][2])
    g[1][3].result.speedup = 0
    expect.near(best:fast_sure(4.6).value, 0)
    expect.near(best:fast_sure(4.4).value, 0.5)
    expect.same(best:by_task(), { { task = 1, n = 3, i = 2, speedup = 5 }, { task = 2, n = 2, speedup = 0 } })
    g[1].seed, g[2].seed = 1, 2
    expect.near(best:sd_over "seed", math.sqrt(0.5))
    expect.raises("a candidate has no 'lgprob'; did you mean 'logprob'?", vt.select.apply,
      function(cs) return cs[1].lgprob and cs[1] end, g)
    expect.raises("p has no 'kk'", vt.select.apply, { name = "r", params = { k = { 1, "k" } },
      pick = function(cs, p) return cs[p.kk] end }, g)
    expect.raises("rule 'r': there is no parameter 'j'", vt.select.apply, { name = "r", params = { k = { 1, "k" } },
      pick = function(cs) return cs[1] end }, g, { params = { j = 1 } })
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
      local big = run:table("big", { "task", "speedup" })
      big:row(10001, 1.23456)
      big:row(123456789012, 2)
      expect.contains(big:markdown(), "| 10001 | 1.235 |\n| 123456789012 | 2 |")
      local lists = run:table("lists", { "tasks", "lo" })
      lists:row({ 28, 32 }, 1)
      expect.contains(lists:csv(), '"28,32",1')
      expect.contains(big:csv(), "\r\n10001,1.23456\r\n123456789012,2\r\n")
      expect.contains(big:text(), "       10001     1.23\n  123456789012        2")
      local svg = run:plot("curve", { data = t, x = "k", y = "pass", band = { "lo", "hi" }, logx = 2 })
      expect.contains(core.read(svg), "<svg")
      run:log("note", { step = 1, value = 0.5, nested = { 1, 2 } })
      expect.contains(core.read(run.dir .. "/metrics.jsonl"), '"kind":"note"')
      local path = run:save("answer", { a = 1 })
      expect.equal(core.read(path), '{"a":1}\n')
      expect.raises("a run has no 'sav'; did you mean 'save'?", function() return run.sav end)
      expect.raises("did you mean 'mean'?", function() return vt.stats.summary({ 1, 2 }).men end)
      expect.raises("a selection rule has no 'pik'; did you mean 'pick'?", function() return vt.select.rules.oracle.pik end)
      local stop = vt.early_stop { patience = 1 }
      stop:offer(1, { step = 3 })
      expect.raises("did you mean 'score'?", function() return stop:best().scre end)
      local _, e = pcall(function() return run.sav end)
      expect.raises("an error has no 'messge'; did you mean 'message'?", function() return e.messge end)
      expect.equal(e.code, nil)
      expect.raises("run:plot needs data", run.plot, run, "x", {})
      local drawn = run:table("drawn", { "k", "pass" })
      drawn:row(1, 0.5)
      local rows = { { k = 1, pass = 0.5 } }
      for _, data in ipairs { drawn, rows } do
        for _, spec in ipairs { { x = "kk", y = "pass" }, { x = "k", y = { "pass", "kk" } },
          { x = "k", y = "pass", by = "kk" }, { x = "k", y = "pass", band = { "kk", "k" } }, { x = "k", y = "pass", star = "kk" } } do
          spec.data = data
          expect.raises("there is no column 'kk'; the columns are k, pass", run.plot, run, "drawn", spec)
        end
      end
      for _, columns in ipairs { { "k", "fail" }, { "k", "pass" } } do
        local e = expect.raises("this run has 'drawn' already", run.table, run, "drawn", columns)
        expect.contains(e, "surface_test.lua:")
      end
      expect.raises("two columns are named 'k'", run.table, run, "twice", { "k", "k" })
      expect.raises("column 2 is a number", run.table, run, "typed", { "k", 2 })
      run:plot("once", { data = drawn, x = "k", y = "pass" })
      expect.raises("this run has 'once' already", run.plot, run, "once", { data = drawn, x = "k", y = "pass" })
      for _, name in ipairs { "../x", "a/b", "-x", "", "a\nb", ("n"):rep(129) } do
        expect.raises("is no name", run.table, run, name, { "k" })
        expect.raises("is no name", run.plot, run, name, {})
        expect.raises("is no name", run.save, run, name, {})
      end
      expect.raises("run:meter() has no 'chargd'; did you mean 'charged'?", function() return run:meter().chargd end)
      expect.raises("run:meter().charged has no 'rollout'; did you mean 'rollouts'?", function() return run:meter().charged.rollout end)
      expect.raises("run:meter().spent has no 'rollout'", function() return run:meter().spent.rollout end)
    end)
  end)

  it("lets no misspelt field of samples and groups be set", function()
    local policy = require "vegttt.policy"
    local s, g = setmetatable({}, policy.Sample), setmetatable({}, policy.Group)
    expect.raises("a sample has no 'advantge'; did you mean 'advantage'?", function() s.advantge = 1 end)
    expect.raises("surface_test.lua:", function() s.rewrd = 1 end)
    expect.raises("a group has no 'foo'", function() g.foo = 1 end)
    s.advantage, s.reward, g[1], g.step = 1, 2, s, 3
    expect.equal(s.advantage + s.reward + g.step, 6)
    expect.equal(g[1], s)
  end)

  it("sweeps, reads finished cells back and lists failed ones", function()
    inside(function(vt, run)
      local path, own = run.dir .. "/calls", 0
      local cell = vt.experiment { name = "cell", params = { a = { 1, "x" }, b = { 1, "y" } }, main = function(_, p)
        own = own + 1
        local file <close> = io.open(path, "a")
        file:write(own)
        if p.a == 3 then error "three is bad" end
        return { sum = p.a + p.b }
      end }
      local function calls() return io.open(path):read "a" end
      local grid = vt.grid { a = { 1, 2, 3 } }
      local cells = run:sweep(cell, grid, { fixed = { b = 10 }, keep_going = true })
      expect.equal(#cells, 3)
      expect.equal(cells[2].sum, 12)
      expect.equal(cells.failed, 1)
      expect.contains(cells[3].error, "three is bad")
      run:sweep(cell, { { a = 1 } }, { fixed = { b = 10 } })
      expect.equal(calls(), "111") -- each in a state of its own
      expect.equal(own, 0)
      local sums = {}
      for a, group in cells:group_by "a" do sums[#sums + 1] = ("%d:%d:%s"):format(a, #group, group[1].error and "failed" or group[1].sum) end
      expect.same(sums, { "1:1:11", "2:1:12", "3:1:failed" })
      expect.equal(cells[1].b, 10) -- a parameter
      expect.equal(cells[1].params.a, 1)
      expect.equal(cells[1].error, nil)
      expect.equal(cells[3].sum, nil) -- what the others have
      expect.raises("a cell has no 'smu'; did you mean 'sum'?", function() return cells[1].smu end)
      expect.equal(run:meter().charged.rollouts, 0)
      expect.raises("cell 2 of the grid: there is no parameter 'aa'", run.sweep, run, cell, { { a = 7 }, { aa = 1 } })
      expect.raises("cell 1 of the grid: --a must be a whole number", run.sweep, run, cell, { { a = "x" } })
      expect.equal(calls(), "111") -- nothing of a wrong grid runs
    end)
  end)
end)
