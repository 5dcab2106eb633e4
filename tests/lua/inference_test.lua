-- SPDX-License-Identifier: Apache-2.0
--
-- Tests, intervals and correlations as a script sees them: which number is whose, what is left out when there is too
-- little to say it, and what is refused. The numbers themselves are compared with other software by stats_golden.c.
local support = require "support"

local function inside(fn)
  support.inside(function(_, _, vt) return fn(vt.stats, vt) end)
end

local eight = { 0.5, 1.5, -0.25, 2, 3, 0.75, 1, 0.125 }

-- A judged sample of a task; speedup 0 is a wrong one.
local function sample(task, speedup, code, o)
  local s = { task = { id = task, name = "t" .. task }, tokens = {}, code = code or tostring(speedup),
    result = { correct = speedup > 0, speedup = speedup, speedup_measured = speedup, speedup_lo = speedup * 0.9,
      status = "x", is_copy = false } }
  for k, v in pairs(o or {}) do s.result[k] = v end
  return s
end

-- Tasks with so many hits of k samples.
local function tasks_of(hits, k)
  local groups = {}
  for i, c in ipairs(hits) do
    groups[i] = { task = { id = i, name = "t" .. i } }
    for j = 1, k do
      groups[i][j] = sample(i, j <= c and 2 or 0.5, ("code %d"):format(j))
      groups[i][j].i = j
    end
  end
  return groups
end

describe("paired tests", function()
  it("give a size, an interval, p and the smallest p", function()
    inside(function(stats)
      local w = stats.wilcoxon(eight)
      -- Ranks of |d|: -0.25 has rank 2, so W+ = 34; P(W- <= 2) = 3/256.
      expect.near(w.p, 6 / 256)
      expect.near(w.p_min, 2 / 256)
      expect.equal(w.n, 8)
      expect.equal(w.unit, "task")
      expect.truthy(w.lo < w.value and w.value < w.hi and w.lo > -0.25, "the interval")
      expect.contains(w.method, "exact")
      local zeros = stats.wilcoxon({ 1, 2, 2, 5, 3 }, { 1, 2, 1, 4, 2 })
      expect.same({ zeros.zeros, zeros.ties, zeros.n, zeros.n_distinct }, { 2, 3, 5, 2 })
      expect.near(zeros.p, 0.25) -- three positive of three
      expect.equal(zeros.lo, nil) -- five tasks
      expect.contains(zeros.method, "no interval below 8 tasks")
      local p = stats.permutation(eight)
      expect.near(p.p, 6 / 256) -- as it is, without -0.25 or without 0.125 turned, and the opposites
      expect.near(p.value, 8.625 / 8)
      expect.truthy(p.lo < p.value and p.value < p.hi, "the interval")
      expect.near(stats.permutation({ 1, 2, 3 }, { 7, 8, 9 }, { paired = false }).p, 2 / 20)
      local m = stats.permutation(eight, nil, { statistic = function(d) return stats.quantile(d, 0.5) end, n = 500 })
      expect.near(m.value, 0.875)
      expect.truthy(m.p < 0.2 and m.p >= 1 / 501, "p of a function")
      local s = stats.sign_test(3, 0)
      expect.near(s.p, 0.25)
      expect.near(s.p_min, 0.25)
      expect.equal(s.lo, nil)
      expect.equal(stats.sign_test(0, 0).p, 1)
    end)
  end)

  it("of successes", function()
    inside(function(stats)
      local a = { true, true, true, true, true, true, false, true, false, false }
      local b = { false, false, false, false, false, 1, 0, 0, true, 0 }
      local m = stats.mcnemar(a, b)
      expect.near(m.value, 0.5)
      expect.near(m.p, 0.125) -- six against one: 2 (1 + 7) / 2^7
      expect.equal(m.ties, 3)
    end)
  end)

  it("need enough tasks: power", function()
    inside(function(stats)
      local few = stats.power { pilot = eight, n_tasks = 5, test = "wilcoxon", n = 200 }
      expect.equal(few.value, 0) -- five tasks cannot reach 0.05
      local many = stats.power { pilot = eight, n_tasks = 20, n = 200 }
      expect.truthy(many.value > 0.9 and many.lo < many.value, "twenty tasks")
      expect.equal(many.unit, "simulation")
    end)
  end)

  it("of many rules", function()
    inside(function(stats)
      expect.same(stats.holm { 0.01, 0.04, 0.03 }, { 0.03, 0.06, 0.06 })
      expect.near(stats.benjamini_hochberg({ 0.01, 0.04, 0.03 })[3], 0.04)
      expect.near(stats.holm({ stats.sign_test(3, 0), 0.5 })[1], 0.5)
      expect.raises("no p-value", stats.holm, { 1.5 })
    end)
  end)
end)

describe("intervals", function()
  it("of eight tasks and more, by name", function()
    inside(function(stats)
      local t = stats.mean_ci(eight, { method = "student" })
      expect.near((t.hi - t.lo) / 2, 2.3646 * t.sd / math.sqrt(8), 1e-3)
      for _, method in ipairs { "t", "bca", "percentile" } do
        local i = stats.mean_ci(eight, { method = method, bootstrap = 500 })
        expect.truthy(i.lo < i.value and i.value < i.hi, method)
        expect.truthy(i.lo ~= t.lo, method .. " is not Student's")
      end
      expect.equal(stats.mean_ci({ 1, 2, 3, 4, 5, 6, 7 }).lo, nil)
      expect.contains(tostring(stats.mean_ci { 1, 2, 3, 4, 5, 6, 7 }), "4, n = 7")
      local same = stats.mean_ci { 1, 1, 1, 1, 1, 1, 1, 1 }
      expect.equal(same.lo, nil)
      expect.equal(same.n_distinct, 1)
      expect.contains(tostring(same), "distinct 1")
      local c = stats.clopper_pearson(3, 10)
      expect.near(c.lo, 0.06674, 1e-5) -- as tabulated
      expect.near(c.hi, 0.65245, 1e-5)
      local odds = stats.odds_ratio(8, 2, 4, 6)
      expect.near(odds.value, 6)
      expect.equal(stats.odds_ratio(8, 0, 4, 6).zeros, 1)
      local clusters = {}
      for i, v in ipairs(eight) do clusters[i] = { v, v, v } end -- copies add nothing
      local b, plain = stats.bootstrap(clusters, { cluster = true }), stats.mean_ci(eight)
      expect.near(b.lo, plain.lo)
      expect.equal(b.unit, "cluster")
      expect.raises("use method = \"bca\" for a median", stats.bootstrap, eight, { statistic = "median", method = "t" })
      expect.truthy(stats.bootstrap(eight, { statistic = "median" }).lo, "a median's interval")
    end)
  end)
end)

describe("correlations", function()
  it("over clusters are not deceived by copies", function()
    inside(function(stats)
      local x, y, task = {}, {}, {}
      for i, v in ipairs { { 1, 3 }, { 2, 1 }, { 3, 4 }, { 4, 2 }, { 5, 6 }, { 6, 5 }, { 7, 8 }, { 8, 7 } } do
        for _ = 1, 20 do
          x[#x + 1], y[#y + 1], task[#task + 1] = v[1], v[2], i
        end
      end
      local naive, pooled = stats.spearman(x, y), stats.spearman(x, y, { cluster = task })
      expect.near(naive.value, pooled.value)
      expect.equal(pooled.n, 8)
      expect.equal(pooled.n_samples, 160)
      expect.truthy(naive.p < 1e-20 and pooled.p > 1e-5, "p of copies")
      local within = stats.spearman(x, y, { cluster = task, within = true })
      expect.equal(within.n, 0) -- in each task all are alike
      expect.raises("within needs cluster", stats.spearman, x, y, { within = true })
      expect.raises("an id for each of the 160 pairs", stats.spearman, x, y, { cluster = { 1 } })
    end)
  end)

  it("within tasks and pooled may differ in sign", function()
    inside(function(stats)
      local x, y, task = {}, {}, {}
      for i = 1, 9 do
        for j = 1, 4 do
          x[#x + 1], y[#y + 1], task[#task + 1] = 10 * i + j, 10 * i - j, i
        end
      end
      local pooled = stats.spearman(x, y, { cluster = task })
      local within = stats.spearman(x, y, { cluster = task, within = true })
      expect.truthy(pooled.value > 0.9, "pooled")
      expect.near(within.value, -1)
      expect.near(within.p, 2 / 512)
      expect.equal(within.n, 9)
    end)
  end)

  it("of ranks and of what is held fixed", function()
    inside(function(stats)
      local x, y = { 1, 2, 3, 4, 5, 6 }, { 2, 1, 4, 3, 6, 5 }
      expect.near(stats.kendall(x, y).value, 9 / 15) -- three of fifteen pairs are turned
      expect.near(stats.kendall(x, y).p, 0.1361, 1e-4)
      local length = { 1, 2, 3, 4, 5, 6 }
      expect.truthy(math.abs(stats.partial_spearman(y, { 1, 2, 3, 4, 6, 5 }, length).value) < 0.8, "given length")
      expect.near(stats.cliffs_delta({ 3, 4, 5 }, { 1, 2, 3 }).value, 8 / 9)
    end)
  end)
end)

describe("what cannot be tested", function()
  it("is refused at the script's line", function()
    inside(function(stats)
      local bad = { 1, 0 / 0, 3 }
      for _, name in ipairs { "wilcoxon", "permutation", "mean_ci", "bootstrap", "summary", "holm", "benjamini_hochberg" } do
        local e = expect.raises("value 2 must be", stats[name], bad)
        expect.contains(e, "inference_test.lua:")
        expect.raises("needs", stats[name], 3)
      end
      for _, name in ipairs { "spearman", "kendall", "cliffs_delta" } do
        expect.raises("value 2 must be", stats[name], bad, { 1, 2, 3 })
        expect.raises("value 1 must be a finite number, not inf", stats[name], { 1, 2, 3 }, { math.huge, 1, 2 })
      end
      expect.raises("3 and 2 values are no pairs", stats.wilcoxon, { 1, 2, 3 }, { 1, 2 })
      expect.raises("needs at least 1 values", stats.wilcoxon, {})
      expect.raises("a success is true or 1", stats.mcnemar, { 2 }, { 1 })
      expect.raises("level must be a number between 0 and 1", stats.mean_ci, eight, { level = 95 })
      expect.raises("the number of successes must be a whole number from 0 to 3, not 5", stats.clopper_pearson, 5, 3)
      expect.raises("n_plus must be a whole number", stats.sign_test, -1, 3)
      expect.raises("the number of draws must be a whole number", stats.permutation, eight, nil, { n = 0 })
      expect.raises("alpha must lie", stats.power, { pilot = eight, n_tasks = 5, alpha = 5 })
      expect.raises("n_tasks must be", stats.power, { pilot = eight })
      expect.raises("unknown option 'zero'; did you mean 'zeros'?", stats.wilcoxon, eight, nil, { zero = "drop" })
    end)
  end)
end)

describe("measures", function()
  it("have names that say what is averaged", function()
    inside(function(stats, vt)
      local groups = tasks_of({ 4, 0, 1 }, 4)
      local m = stats.metrics(groups, vt.select.apply(vt.select.rules.oracle, groups))
      expect.near(m.sample_fast_1.value, (1 + 0 + 0.25) / 3)
      expect.near(m["task_success@4"].value, 2 / 3)
      expect.near(m["task_success@4_sure"].value, 2 / 3)
      expect.near(m.selected_fast_1.value, 2 / 3)
      expect.near(m.selected_fast_1_sure.value, 2 / 3)
      expect.near(m.sample_correct.value, 1)
      groups[1][5] = sample(1, 2)
      expect.raises("task 1 has 5, task 2 4", stats.metrics, groups)
    end)
  end)

  it("are also of different codes, and without copies over all tasks", function()
    inside(function(stats)
      local groups = { { sample(1, 2, "a"), sample(1, 0.5, "a"), sample(1, 2, "a"), sample(1, 0, "b") },
        { sample(2, 2, "c", { is_copy = true }), sample(2, 2, "c", { is_copy = true }) } }
      expect.near(stats.fast(groups).value, (0.5 + 1) / 2)
      expect.near(stats.fast(groups, 1, { per = "code" }).value, ((2 / 3 + 0) / 2 + 1) / 2)
      local no_copies = stats.fast(groups, 1, { copies = false })
      expect.near(no_copies.value, 0.5 / 2) -- the second task fails; it is not left out
      expect.same({ no_copies.n, no_copies.n_samples, no_copies.n_distinct }, { 2, 4, 2 })
      expect.equal(stats.fast(groups).n_distinct, 3)
      expect.near(stats.pass_at_k(groups, 1, { sure = true }).value, (0.5 + 0) / 2)
      expect.raises("k must be a whole number from 1 to 2, not 3", stats.pass_at_k, groups, 3)
      expect.raises("k must be a whole number from 1 to 2, not 3", stats.best_of_k, groups, 3)
    end)
  end)

  it("over seeds are the papers', over pooled seeds the task's", function()
    inside(function(stats)
      local seeds = { tasks_of({ 4, 0 }, 4), tasks_of({ 0, 0 }, 4), tasks_of({ 2, 1 }, 4) }
      local r = stats.over_seeds(seeds)
      expect.near(r.value, (0.5 + 0 + 0.375) / 3)
      expect.near(r.sd, stats.sd { 0.5, 0, 0.375 })
      expect.same({ r.n, r.unit }, { 3, "seed" })
      expect.equal(r.lo, nil)
      expect.equal(stats.fast(seeds).n, 2) -- pooled: two tasks, not six
      local published = { 42.5, 20.0, 29.4 }
      local p = stats.over_seeds(published, function(v) return v end)
      expect.near(p.value, 30.63, 0.005)
      expect.near(p.sd, 11.30, 0.005)
      expect.raises("the groups of each seed", stats.over_seeds, {})
    end)
  end)

  it("say how many samples a success rate is worth", function()
    inside(function(stats)
      local groups = tasks_of({ 1, 2, 4, 0, 1, 2, 3, 8, 1 }, 8)
      local at_2 = stats.pass_at_k(groups, 2).value
      local e = stats.equivalent_k(groups, at_2)
      expect.near(e.value, 2)
      expect.truthy(e.lo < 2 and e.hi > 2 and e.n == 9, "the interval")
      local between = stats.equivalent_k(groups, (at_2 + stats.pass_at_k(groups, 4).value) / 2)
      expect.near(between.value, 2 * math.sqrt(2)) -- halfway in log k
      local under = stats.equivalent_k(groups, 0.01)
      expect.equal(under.bound, "<")
      expect.contains(tostring(under), "< 1")
      expect.equal(stats.equivalent_k(groups, 1).bound, ">")
      local adapted = tasks_of({ 8, 8, 8, 0, 8, 8, 8, 8, 8 }, 8)
      expect.near(stats.equivalent_k(groups, adapted).value, 8)
      expect.raises("the target has no samples of task 3", stats.equivalent_k, groups, tasks_of({ 1, 2 }, 8))
      expect.raises("no share", stats.equivalent_k, groups, 40)
    end)
  end)
end)
