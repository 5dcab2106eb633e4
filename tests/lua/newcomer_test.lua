-- SPDX-License-Identifier: Apache-2.0
--
-- Five scripts as somebody writes them who has read README.md and lua/meta (tests/newcomer): a selection rule, a sweep,
-- self-distillation, adaptation to single tasks, a probe of recorded samples. The model answers two small tasks with
-- known answers; what the scripts must find is computed here another way, from what their runs recorded.
local core = require "vegttt.core"
local support = require "support"

local function script(name) return support.file(("tests/newcomer/%s.lua"):format(name)) end

local function in_folder(fn)
  support.in_folder(function(root)
    local files = support.task_files(root)
    fn(root, function(more)
      local given = { tasks = { files.same, files.negated }, temperature = 1.0, split = "" }
      for k, v in pairs(more or {}) do given[k] = v end
      return given
    end)
  end)
end

-- The rows of a table, cells by column.
local function rows(csv)
  local columns, out = {}, {}
  for line in csv:gmatch "[^\r\n]+" do
    local cells, i = {}, 0
    for cell in (line .. ","):gmatch "([^,]*)," do
      i = i + 1
      if columns[1] and columns[i] then cells[columns[i]] = tonumber(cell) or cell else cells[i] = cell end
    end
    if columns[1] then out[#out + 1] = cells else columns = cells end
  end
  return out
end

-- Samples of a run with their first verdicts, by task.
local function recorded(r)
  local verdicts, by_task = {}, {}
  core.read_lines(r.run.dir .. "/evals.jsonl", function(v)
    if not v.confirms then verdicts[v.task .. "/" .. v.code_sha] = v end
  end)
  core.read_lines(r.run.dir .. "/rollouts.jsonl", function(s)
    if s.kind ~= "sample" then return end
    by_task[s.task] = by_task[s.task] or {}
    s.verdict = s.code_sha and verdicts[s.task .. "/" .. s.code_sha] or { correct = false, speedup = 0 }
    table.insert(by_task[s.task], s)
  end)
  return by_task
end

describe("a newcomer's script", function()
  it("of a rule keeps the sample that the rule says, and is billed for what it measures", function()
    in_folder(function(root, given)
      local r = support.run(script "rule", given { k = 16 }, { root = root })
      local best, first, chosen, n_measures, n = 0, 0, 0, 0, 0
      for _, samples in pairs(recorded(r)) do
        local correct = {}
        table.sort(samples, function(a, b) return a.i < b.i end)
        for _, s in ipairs(samples) do
          if s.verdict.correct then correct[#correct + 1] = s end
        end
        if #correct > 0 then
          n = n + 1
          first = first + correct[1].verdict.speedup
          local top = 0
          for _, s in ipairs(correct) do top = math.max(top, s.verdict.speedup) end
          best = best + top
          table.sort(correct, function(a, b)
            if a.n_tokens ~= b.n_tokens then return a.n_tokens < b.n_tokens end
            return a.i < b.i
          end)
          local two = math.max(correct[1].verdict.speedup, correct[2] and correct[2].verdict.speedup or 0)
          chosen, n_measures = chosen + two, n_measures + math.min(2, #correct)
        end
      end
      expect.truthy(n > 0, "a task with a correct sample")
      expect.near(r.value.oracle, best / n, 1e-6)
      expect.near(r.value.first, first / n, 1e-6)
      expect.near(r.value.two_shortest, chosen / n, 1e-6)
      expect.truthy(r.value.oracle > 1, "the model knows a faster answer")
      local t = rows(r.tables.rules)
      expect.equal(t[1].measures, n_measures)
      expect.equal(t[2].measures, 0)
    end)
  end)

  it("of a sweep has a row per rate, the mean of its cells", function()
    in_folder(function(root, given)
      local r = support.run(script "lr_sweep", given { k = 4, rates = "3e-3,1e-3", seeds = "1-2" }, { root = root })
      expect.equal(r.value.n, 4)
      local t, sums = rows(r.tables.rates), {}
      expect.equal(#t, 2)
      for _, name in ipairs(core.list(root .. "/boa")) do
        local s = core.json_decode(core.read(("%s/boa/%s/summary.json"):format(root, name)), "summary")
        sums[s.params.lr] = (sums[s.params.lr] or 0) + s.result.fast_1
      end
      for _, row in ipairs(t) do
        expect.equal(row.n, 2)
        expect.near(row.fast_1, sums[row.lr] / 2, 1e-6)
        expect.equal(row.lo, "") -- two seeds give no interval
      end
    end)
  end)

  it("of self-distillation learns from the feedback, and from nothing learns nothing", function()
    in_folder(function(root, given)
      local model = "tests/golden/tiny/chat" -- random, but what it says hangs on all that it reads
      local r = support.run(script "sdpo", given { k = 2, steps = 1, max_tokens = 24, model = model }, { root = root })
      expect.truthy(r.value.moved, "the weights moved")
      expect.truthy(rows(r.tables.steps)[1].mean_advantage ~= 0, "the teacher is another than the student")
      expect.equal(r.value.lr, 1e-4) -- the model record's, though nobody gave one
      expect.equal(r.value.scored, 2 * r.value.sampled) -- by teacher and student
      local without = support.run(script "sdpo", given { k = 2, steps = 1, max_tokens = 24, model = model,
        feedback = false }, { root = root })
      expect.equal(rows(without.tables.steps)[1].mean_advantage, 0)
      expect.equal(without.value.moved, false)
    end)
  end)

  it("of single tasks has a cell for each, which knows its task", function()
    in_folder(function(root, given)
      local r = support.run(script "isolated", given { k = 4 }, { root = root })
      local t, want = rows(r.tables.isolated), given().tasks
      expect.equal(r.value.n, 2)
      for i, row in ipairs(t) do
        expect.equal(row.task, want[i])
        expect.truthy(row.fast_1 >= 0 and row.fast_1 <= 1, "a share")
      end
      for _, name in ipairs(core.list(root .. "/boa")) do
        local p = core.json_decode(core.read(("%s/boa/%s/params.json"):format(root, name)), "params")
        expect.equal(#p.tasks.value, 1)
      end
    end)
  end)

  it("of a probe scores recorded samples as they were scored when they were drawn", function()
    in_folder(function(root, given)
      local runs = root .. "/drawn"
      local drawn = support.run(support.file "experiments/best_of_n.lua", given { k = 12 }, { root = runs })
      local trained = support.run(support.file "experiments/boa.lua", given { k = 4, steps = 1, lr = 0.003 }, { root = runs })
      local r = support.run(script "nll_probe", { rollouts = runs .. "/best_of_n/*", checkpoints = trained.run.dir },
        { root = root })
      local nll, speedup, sum = {}, {}, 0
      local by_task = recorded(drawn)
      for _, id in ipairs { 10001, 10002 } do
        table.sort(by_task[id], function(a, b) return a.i < b.i end)
        for _, s in ipairs(by_task[id]) do
          if s.verdict.correct then
            nll[#nll + 1], speedup[#speedup + 1] = -s.logprob, s.verdict.speedup
            sum = sum - s.logprob
          end
        end
      end
      local t = rows(r.tables.probe)
      expect.equal(#t, 2)
      expect.equal(t[1].n, #nll)
      expect.near(t[1].mean_nll, sum / #nll, 1e-4) -- step 0 is what drew them
      expect.near(t[1].rho, core.inference.spearman(nll, speedup, 0.95).value, 1e-6)
      expect.truthy(math.abs(t[2].mean_nll - t[1].mean_nll) > 1e-6, "the trained weights think otherwise")
      expect.truthy(core.exists(r.run.dir .. "/plots/probe.svg"), "the plot")
    end)
  end)
end)
