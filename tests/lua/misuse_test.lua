-- SPDX-License-Identifier: Apache-2.0
--
-- Misuse of every public function: whatever is given, an error that is raised stands at the script's line, never at one
-- of the engine's; and of what is no finite number no statistic makes a number.
local support = require "support"
local small = require "support_tasks"

local nan, inf = 0 / 0, math.huge

-- What a script may give by mistake, alone and in pairs.
local function wrong_values()
  return { nan, inf, -1, 1.5, "x", "", true, function() end, {}, { "x" }, { nan }, { { nan } }, { 1, {} }, { { 1 } },
    { { {} } }, { { { tokens = {} } } }, { { { result = {} } } }, { { { n_tokens = 1, reward = 1 } } } }
end

-- An error of fn(…) that names a line of the engine, or as misuse none at all; nil when there was none or it is the
-- script's.
local function wrong_place(fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then return nil end
  local text = tostring(e)
  local is_misuse = type(e) == "string" or type(e) == "table" and e.kind == "misuse"
  if text:find "vegttt/[%w_]+%.lua:%d" or is_misuse and not text:find "misuse_test%.lua:%d" then return text end
end

local function try_all(what, fn, self, problems)
  local values = wrong_values()
  local function try(...)
    local place = wrong_place(fn, ...)
    if place then problems[what] = problems[what] or place end
  end
  local function with_self(...)
    if self ~= nil then try(self, ...) else try(...) end
  end
  with_self()
  for _, a in ipairs(values) do
    with_self(a)
    with_self(nil, a)
    for _, b in ipairs { nan, "x", true, {} } do with_self(a, b) end
  end
  try(nil)
  try(5)
end

local waiting = { spawn = true, timeout = true, load = true } -- start tasks that outlive the call, or read files of any name

local function show(problems)
  local lines = {}
  for what, text in pairs(problems) do lines[#lines + 1] = what .. ": " .. text end
  table.sort(lines)
  return table.concat(lines, "\n")
end

describe("misuse", function()
  it("of every function is said at the script's line", function()
    support.inside(function(_, _, vt)
      local problems = {}
      local function walk(t, prefix)
        for name, v in pairs(t) do
          if type(v) == "function" and not waiting[name] then
            try_all(prefix .. name, v, nil, problems)
          elseif type(v) == "table" and prefix == "vt." then
            walk(v, prefix .. name .. ".")
          end
        end
      end
      walk(vt, "vt.")
      expect.equal(show(problems), "")
      return {}
    end)
  end)

  it("of every method is said at the script's line", function()
    support.inside(function(run, p, vt)
      local problems = {}
      local policy, task = vt.policy(p.model), vt.task(small.same)
      local group = vt.eval.all(policy:start():sample(task:prompt(), { n = 2, temperature = 1.0 }))
      local picks = vt.select.apply(vt.select.rules.first, { group })
      local candidate
      vt.select.apply(function(cs)
        candidate = cs[1]
        return cs[1]
      end, { group })
      local objects = { run = run, policy = policy, weights = policy:start(), task = task, rng = run:rng "x",
        table = run:table("t", { "a" }), prompt = task:prompt(), context = vt.context(task:prompt()),
        verdict = group[1].result, early_stop = vt.early_stop {}, picks = picks,
        candidate = candidate, cells = run:sweep(vt.experiment { name = "cell", main = function() return {} end }, { {} }) }
      for name, object in pairs(objects) do
        local methods = getmetatable(object).methods
        for method, fn in pairs(methods) do
          if method ~= "save" and method ~= "join" then try_all(name .. ":" .. method, fn, object, problems) end
        end
      end
      expect.equal(show(problems), "")
      return {}
    end)
  end)

  it("of groups is one sentence, whoever takes them", function()
    support.inside(function(_, _, vt)
      local takers = { vt.detail, vt.scores, vt.eval.all, vt.batch, vt.reward.raw(), vt.reward.paper(), vt.advantage.loo(),
        vt.advantage.max_at_k { k = 1 }, function(g) vt.select.apply(vt.select.rules.first, g) end }
      for _, take in ipairs(takers) do expect.raises("needs groups of samples; it met a number", take, { { 1 } }) end
      expect.raises("vt.detail: a sample has no tokens", vt.detail, { { {} } })
      return {}
    end)
  end)

  it("of the functions that factories return, too", function()
    support.inside(function(_, _, vt)
      local problems = {}
      for _, group in ipairs { "reward", "advantage" } do
        for name, make in pairs(vt[group]) do
          local o = name == "kl_to_start" and { start = vt.policy(support.model()):start() } or nil
          try_all(group .. "." .. name, make(o), nil, problems)
        end
      end
      expect.equal(show(problems), "")
      return {}
    end)
  end)

  it("of coroutine.yield and of an update inside an update is one sentence there", function()
    support.in_folder(function(root)
      local files = support.task_files(root)
      local n = 0
      local function fails(fn)
        n = n + 1
        local r = support.execute(support.main(function(run, _, vt)
          local policy = vt.policy(support.model())
          local g = policy:start():sample(vt.tasks({ ids = files.same })[1]:prompt(), { n = 2, max_tokens = 4 })
          for i, s in ipairs(g) do s.advantage = i end
          return fn(run, vt, policy, vt.batch(g), g)
        end), nil, { root = root .. "/" .. n })
        expect.equal(r.status, "failed")
        expect.contains(r.value, "misuse_test.lua:")
        expect.truthy(not tostring(r.value):find "\n", "one sentence")
        return tostring(r.value)
      end
      local yields = {
        function(_, _, policy, batch) policy:update(batch, { loss = function() coroutine.yield() end }) end,
        function(_, vt, _, _, g)
          vt.eval.all(g)
          vt.select.apply(function() coroutine.yield(1) end, { g })
        end,
        function(_, vt) vt.map({ 1 }, function() coroutine.yield() end) end,
        function() coroutine.yield() end,
      }
      for _, fn in ipairs(yields) do expect.contains(fails(fn), "coroutine.yield was called outside a coroutine") end
      local inner = fails(function(_, vt, policy, batch)
        policy:update(batch, { loss = function() policy:update(batch) end })
      end)
      expect.contains(inner, "inside the loss function of another update")
      inner = fails(function(_, vt, policy, batch)
        policy:update(batch, { loss = function() vt.map({ 1 }, function() policy:update(batch) end) end })
      end)
      expect.contains(inner, "inside the loss function of another update")
    end)
  end)
end)

describe("no number is made", function()
  local function vt() return support.modules(support.stage.real()).vegttt end

  it("of values that are none", function()
    local stats = vt().stats
    for _, name in ipairs { "mean", "sd", "geometric_mean", "mean_ci", "bootstrap", "summary" } do
      for _, list in ipairs { { 1, nan }, { inf, 1 }, { 1, "x" }, { 1, false }, { 1, {} }, 5, "x" } do
        local e = expect.raises("", stats[name], list)
        expect.contains(e, "misuse_test.lua:")
        expect.contains(e, "vt.stats." .. name)
      end
      if name ~= "summary" then expect.raises("", stats[name], nil) end
    end
    expect.raises("value 2 must be a finite number, not nan", stats.mean, { 1, nan })
    expect.raises("value 2 must be a finite number, not inf", stats.spearman, { 1, inf }, { 1, 2 })
    expect.raises("value 1 must be a number, not a string", stats.quantile, { "a" }, 0.5)
    expect.raises("cluster 2 is empty", stats.bootstrap, { { 1 }, {} }, { cluster = true })
    expect.raises("value 2 is 0; all must be positive", stats.geometric_mean, { 1, 0 })
    expect.raises("field 'y' of element 1 must be a number, not a nil", stats.summary, { { x = 1 } }, "y")
  end)

  it("of arguments outside their range", function()
    local v = vt()
    local stats = v.stats
    expect.raises("the number of successes must be a whole number from 0 to 3, not 5", stats.wilson, 5, 3)
    for _, bad in ipairs { { -1, 3 }, { 1, -3 }, { 1.5, 3 }, { nan, 3 }, { 1, inf } } do
      expect.raises("vt.stats.wilson", stats.wilson, bad[1], bad[2])
    end
    for _, q in ipairs { -0.1, 2, nan, inf } do expect.raises("q must be a", stats.quantile, { 1, 2 }, q) end
    expect.raises("p2 must be a finite number from 0 to 1, not 2", stats.cohens_h, 0.5, 2)
    expect.raises("n_minus must be", stats.sign_test, 1, -1)
    expect.equal(stats.sign_test(0, 0).p_min, 1)
    for _, level in ipairs { -1, 1.5, nan } do expect.raises("level must be", stats.mean_ci, { 1, 2 }, { level = level }) end
    for _, n in ipairs { 0, -1, 1e9 // 1 | 0 } do
      expect.raises("the number of draws must be", stats.bootstrap, { 1, 2 }, { n = n })
    end
    local s = { task = { id = 1, name = "t" }, tokens = {},
      result = { correct = true, is_copy = false, status = "correct_fast", speedup = 2, speedup_measured = 2, speedup_lo = 1.9 } }
    for _, k in ipairs { 0, 2, -1, 1.5, nan } do
      expect.raises("k must be a whole number from 1 to 1", stats.pass_at_k, { { s } }, k)
      expect.raises("k must be a whole number from 1 to 1", stats.best_of_k, { { s } }, k)
    end
    for _, name in ipairs { "fast", "fast_sure", "task_success" } do
      for _, p in ipairs { nan, -1, inf } do expect.raises("p must be a", stats[name], { { s } }, p) end
    end
    for _, name in ipairs { "is_fast", "is_sure" } do expect.raises("p must be a", stats[name], s.result, nan) end
    expect.raises("no flag or status 'corect'; did you mean 'correct'?", stats.rate, { { s } }, "corect")
    expect.equal(stats.rate({ { s } }, "correct_fast").value, 1)
    expect.raises("max must be", v.reward.clip, { max = nan })
    expect.raises("max must be", v.reward.clip, { max = -1 })
    expect.raises("floor must be", v.reward.log, { floor = nan })
    expect.raises("floor must be", v.reward.log, { floor = "min" })
    expect.raises("correct_bonus must be", v.reward.log, { correct_bonus = inf })
    expect.raises("beta", v.advantage.entropic, { beta = "adaptve" })
    expect.raises("beta", v.advantage.entropic, { beta = nan })
    for _, name in ipairs { "batch_z", "group_z", "loo", "entropic", "none" } do
      for _, r in ipairs { nan, inf, "x" } do
        expect.raises("the reward of sample 1", v.advantage[name](), { { { tokens = {}, reward = r } } })
      end
    end
    for _, name in ipairs { "raw", "clip", "log", "normalized", "paper" } do
      expect.raises("the speedup of a sample", v.reward[name](), { { { tokens = {}, result = { correct = true, speedup = nan } } } })
    end
    expect.raises("the score is not a number", function() v.early_stop({}):offer(nan) end)
    expect.raises("patience must be", v.early_stop, { patience = -1 })
    expect.raises("min_delta must be", v.early_stop, { min_delta = nan })
  end)

  it("of texts that hold none", function()
    local v = vt()
    expect.same(v.numbers "1, 2e-3 0.5", { 1, 2e-3, 0.5 })
    expect.same(v.integers { "1-3", 7 }, { 1, 2, 3, 7 })
    for _, text in ipairs { "1e400", "-1e400", "nan", "inf", "x", "", " , ", "5-3", "1-99999999999999999999", "1-9999999" } do
      local e = expect.raises("vt.numbers", v.numbers, text)
      expect.contains(e, "misuse_test.lua:")
      expect.raises("vt.integers", v.integers, text)
    end
    for _, value in ipairs { nan, inf, true, {}, { nan }, { {} } } do
      expect.raises("vt.numbers", v.numbers, value)
      expect.raises("vt.integers", v.integers, value)
    end
    expect.raises("'1.5' is not a whole number", v.integers, "1.5")
    expect.raises("base must be above 1", v.powers, 1, 8)
    expect.raises("n must be", v.powers, 2, nan)
    expect.raises("'lr' must be a list with a value at least", v.grid, { lr = {} })
    expect.raises("the key of element 2 is nan", v.sort_by, { 1, nan }, function(x) return x end)
    expect.raises("k must be", v.lowest, { 1 }, function(x) return x end, nan)
  end)
end)
