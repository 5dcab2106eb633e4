-- SPDX-License-Identifier: Apache-2.0
--
-- paper.lua on a small recorded set that is written here: which runs an item takes, how seeds become one row, what stands
-- beside the published values, and that nothing is filled in where no run is.
local core = require "vegttt.core"
local support = require "support"

package.path = "experiments/?.lua;" .. package.path

local function json(path, value) core.write(path, core.json_encode(value) .. "\n") end

-- A run as the engine leaves it. o: params, result, rollouts, tables = name -> csv, samples = { { task, step, speedup }, … },
-- unfinished, protocol, t = when it was begun, unjudged = the last so many samples have no verdict, unlikely = none has a
-- log-probability.
local n_made = 0
local function make(root, experiment, o)
  n_made = n_made + 1
  local dir = ("%s/runs/%s/%04d"):format(root, experiment, n_made)
  core.mkdir(dir .. "/tables")
  json(dir .. "/run.json", { v = 1, t = tostring(o.t or n_made), experiment = experiment, id = "id" .. n_made })
  local declared = {}
  for name, value in pairs(o.params or {}) do declared[name] = { value = value, origin = "flag", type = "any" } end
  json(dir .. "/params.json", declared)
  if not o.unfinished then
    json(dir .. "/summary.json", { result = o.result or {}, wall_s = 60,
      meter = { charged = { rollouts = o.rollouts or 8, student_tokens = 100, teacher_tokens = 107 }, spent = {} } })
  end
  for name, csv in pairs(o.tables or {}) do core.write(("%s/tables/%s.csv"):format(dir, name), csv) end
  local rollouts, evals = {}, {}
  for i, s in ipairs(o.samples or {}) do
    local code = ("code %d of %d"):format(i, n_made)
    rollouts[i] = core.json_encode { v = 1, kind = "sample", key = code, task = s[1], step = s[2], draw = s.draw or "main", i = i,
      seed = tostring(i), weights = "w" .. s[2], prompt_sha = "p", tokens = core.array { 1, 2 }, n_tokens = i, text = code,
      code = code, code_sha = code, finish = "stop", logprob = not o.unlikely and -i or nil, logprob_mean = not o.unlikely and -i / 2 or nil, temperature = 1,
      logprobs = core.array { -i / 2, -i / 2 }, logprobs_behaviour = core.array { -i / 2, -i / 2 } }
    evals[i] = i <= #o.samples - (o.unjudged or 0) and core.json_encode { v = 1, key = "v" .. code, task = s[1], task_name = "t" .. s[1], code_sha = code, correct = s[3] > 0,
      status = s[3] > 0 and "correct_fast" or "wrong_output", is_copy = false, flags = core.array {}, speedup = s[3], speedup_measured = s[3],
      speedup_lo = s[3], speedup_hi = s[3], protocol = o.protocol or "fast", machine = "M", evaluator = "e" } or nil
  end
  core.write(dir .. "/rollouts.jsonl", table.concat(rollouts, "\n") .. (#rollouts > 0 and "\n" or ""))
  core.write(dir .. "/evals.jsonl", table.concat(evals, "\n") .. (#evals > 0 and "\n" or ""))
  return dir
end

-- The rows of an item's table, by "row|quantity".
local function item(r, name)
  local out, columns = {}, nil
  for line in r.tables[name]:gmatch "[^\r\n]+" do
    local cells = {}
    for cell in (line .. ","):gsub('"[^"]*"', function(q) return (q:gsub(",", ";"):gsub('"', "")) end):gmatch "([^,]*)," do
      cells[#cells + 1] = tonumber(cell) or cell
    end
    if not columns then
      columns = cells
    else
      local row = {}
      for i, c in ipairs(columns) do row[c] = cells[i] end
      out[row.row .. "|" .. row.quantity] = row
    end
  end
  return out
end

local function paper(root)
  for name in pairs(package.loaded) do
    if name:find "^paper%." then package.loaded[name] = nil end -- they hold the surface that they were loaded with
  end
  return support.run(support.file "experiments/paper.lua", { from = root .. "/runs/*" }, { root = root .. "/runs" })
end

local trajectory = "step,sample_correct,sample_fast_1,sample_fast_1_sure,rollouts,best\n0,1,0.5,0.25,4,\n1,1,%s,0.5,8,*\n"

-- BoA of two seeds at steps 1 and 0, each with a step before it; a third seed that was cut short; another lr, alone.
local function recorded(root)
  local function boa(seed, lr, result, samples, unfinished)
    return make(root, "boa", { params = { seed = seed, lr = lr, k = 2, tasks = core.array { "19", "20" } }, result = result, samples = samples,
      tables = { trajectory = trajectory:format(result.sample_fast_1), choices = "rule,step,sample_fast_1_sure\nstart,0,0.25\nbest,1,0.5\n" },
      rollouts = 8, unfinished = unfinished })
  end
  boa(42, 1e-5, { step = 1, sample_fast_1 = 0.5 }, { { 19, 0, 2 }, { 19, 0, 0 }, { 20, 0, 0.5 }, { 20, 0, 0.5 }, { 19, 1, 3 }, { 19, 1, 2 },
    { 20, 1, 0.5 }, { 20, 1, 0.5 }, { 19, 1, 9, draw = "fresh" } })
  boa(43, 1e-5, { step = 0, sample_fast_1 = 0.25 }, { { 19, 0, 0 }, { 19, 0, 4 }, { 20, 0, 0.5 }, { 20, 0, 0 } })
  boa(44, 1e-5, { step = 0, sample_fast_1 = 1 }, {}, true)
  boa(42, 1e-3, { step = 0, sample_fast_1 = 1 }, { { 19, 0, 9 } })
  make(root, "sdpo", { params = { seed = 42, context = "feedback" }, result = { last_fast_1 = 0.75, updates = 1 },
    samples = { { 19, 1, 2 } } })
  make(root, "best_of_n", { params = { seed = 42, k = 2, tasks = core.array {} }, result = { sample_fast_1 = 0.25, ["task_success@2"] = 0.5 },
    tables = { scaling = "k,pass,lo,hi,best_of_k\n1,0.25,,,1\n2,0.5,0.1,0.9,2\n" },
    samples = { { 19, 0, 2 }, { 19, 0, 0 }, { 20, 0, 0 }, { 20, 0, 0.5 } } })
end

describe("paper", function()
  it("averages the seeds of one configuration and puts the published value beside each", function()
    support.in_folder(function(root)
      recorded(root)
      local r = paper(root)
      local t = item(r, "A_3")
      expect.equal(t["42|sample_fast_1"].reproduced, 0.5, "not that of the other learning rate")
      expect.equal(t["42|sample_fast_1"].published, 0.425)
      expect.equal(t["mean|sample_fast_1"].reproduced, 0.375, "the unfinished seed 44 does not count")
      expect.near(t["mean|sample_fast_1"].sd, 0.125 * math.sqrt(2), 1e-12)
      expect.equal(t["mean|sample_fast_1"].runs, 2)
      expect.equal(t["44|sample_fast_1"].reproduced, "not run")
      expect.equal(t["44|sample_fast_1"].published, 0.294)
    end)
  end)

  it("pools samples by task, at the chosen step, without the second draw", function()
    support.in_folder(function(root)
      recorded(root)
      local r = paper(root)
      local frontier = item(r, "A_1")
      -- BoA, task 19: 3 of 4 (2 of 2 at step 1, 1 of 2 at step 0), task 20: none of 4; pooled samples give 3/8 too, so does
      -- the mean of the seeds; with the fresh draw task 19 has 4 of 5
      expect.equal(frontier["BoA|sample_fast_1"].reproduced, 0.375)
      expect.equal(frontier["BoA|sample_fast_1"].n, 2, "tasks")
      expect.equal(frontier["BoA|sd_over_seeds"].reproduced, math.sqrt(2) * 0.125)
      expect.equal(frontier["Best-of-N|task_success"].reproduced, 0.5)
      expect.equal(frontier["Best-of-N|sample_fast_1"].published, 0.309)
      local choices = item(r, "A_5_3")
      expect.equal(choices["start|sample_fast_1"].reproduced, 0.25)
      expect.equal(choices["last|sample_fast_1"].reproduced, 0.375)
      expect.equal(choices["each task's best|sample_fast_1"].reproduced, 0.375)
      expect.equal(choices["early stop|sample_fast_1"].reproduced, 0.375) -- seed 42 goes from 1/4 to 1/2, seed 43 stays at 1/4
      local speed = item(r, "A_5")
      expect.equal(speed["42|speedup"].reproduced, (3 + 2 + 0.5 + 0.5) / 4, "correct samples of step 1")
      expect.equal(item(r, "A_6_B_8")["1|speedup"].reproduced, 2)
      expect.equal(item(r, "Figure_T_3")["Best-of-N|sample_fast_1"].reproduced, 0.5)
    end)
  end)

  it("gives an equivalent K only where step 0 agrees with Best-of-N", function()
    support.in_folder(function(root)
      recorded(root)
      local k = item(paper(root), "equivalent_K")
      expect.near(k["BoA|equivalent K"].reproduced, math.sqrt(2), 1e-9) -- 3/8 lies halfway between the shares of one sample, 1/4, and of two, 1/2
      core.remove(root .. "/runs/best_of_n")
      local all = {}
      for i = 1, 12 do all[i] = { i % 2 == 0 and 19 or 20, 0, 2 } end
      make(root, "best_of_n", { params = { seed = 42, k = 6, tasks = core.array {} }, result = {}, samples = all })
      k = item(paper(root), "equivalent_K")
      -- Start: 2 of 4 and 0 of 4, Best-of-N 6 of 6 twice: the difference of 1.5 is 3.6 standard deviations.
      expect.equal(k["BoA|equivalent K"].reproduced, "none: step 0 has 0.25; Best-of-N 1")
    end)
  end)

  it("compares the tasks that start and chosen step share, and none where there is no step 0", function()
    support.in_folder(function(root)
      local o = { params = { seed = 42, k = 2 }, result = { step = 1, sample_fast_1 = 0.5 }, samples = { { 19, 1, 2 }, { 20, 1, 2 } } }
      make(root, "best_of_n", { params = { seed = 42, k = 2 }, samples = { { 19, 0, 2 }, { 19, 0, 0 }, { 20, 0, 2 } } })
      make(root, "boa", o)
      expect.equal(item(paper(root), "equivalent_K")["BoA|equivalent K"], nil, "of no step 0")
      core.remove(root .. "/runs/boa")
      o.samples[3], o.samples[4] = { 19, 0, 0 }, { 21, 0, 2 } -- task 20 has no start, 21 no chosen step
      make(root, "boa", o)
      local r = paper(root)
      expect.truthy(item(r, "equivalent_K")["BoA|equivalent K, bound >"] or item(r, "equivalent_K")["BoA|equivalent K"], r.tables.equivalent_K)
      expect.equal(item(r, "Figure_T_4")["0|chosen step"].reproduced, 1)
      expect.equal(item(r, "Figure_T_4")["1|chosen step"], nil, "task 21 is of the start alone")
    end)
  end)

  it("says what is missing and fills nothing", function()
    support.in_folder(function(root)
      recorded(root)
      local r = paper(root)
      local t = item(r, "A_5_5_B_9")
      expect.equal(t["feedback 42|sample_fast_1"].reproduced, 0.75)
      expect.equal(t["prompt 42|sample_fast_1"].reproduced, "not run")
      expect.equal(item(r, "B_10")["1e-05|best"].reproduced, "not run")
      expect.equal(item(r, "Figure_T_2")["|"].reproduced, "not run")
      expect.truthy(r.tables.items:find("A 5.5 / B 9,SDPO per seed,partial,sdpo --context prompt", 1, true), r.tables.items)
      expect.truthy(r.tables.items:find("T 6.1,RLVR per step,not run,rlvr", 1, true))
      for line in r.tables.published:gmatch "[^\r\n]+" do
        expect.truthy(not line:find("^B 10") or line:find("not run", 1, true), line)
      end
      local page = core.read(r.run.dir .. "/paper.md")
      expect.truthy(page:find("![Dual loop](dual_loop.svg)", 1, true) and page:find("](plots/Figure_B_3.svg)", 1, true))
      expect.truthy(not page:find("Figure_B_6.svg", 1, true), "no picture of what was not run")
      expect.truthy(core.read(r.run.dir .. "/dual_loop.svg"):find "^<svg")
      expect.truthy(core.exists(r.run.dir .. "/plots/Figure_A_2_B_5.svg"), "a line per seed")
      expect.equal(r.value.items, r.value.complete + r.value.partial + r.value.not_run + r.value.text)
    end)
  end)

  it("is complete only where it has what the published value is of, and names the runs of each row", function()
    support.in_folder(function(root)
      local function drawn(k, n, params)
        local samples = {}
        for i = 1, n do samples[i] = { i, 0, 2 } end
        local o = { params = { seed = 42, k = k, tasks = core.array {} }, samples = samples, protocol = params and params.protocol }
        return make(root, "best_of_n", o)
      end
      drawn(4, 10)
      local r = paper(root)
      expect.truthy(r.tables.items:find('full L1,"Tasks solved at K, the whole subset",partial,best_of_n --k 64 on 20 tasks; these: --k 4 on 10 tasks', 1, true), r.tables.items)
      core.remove(root .. "/runs")
      local dir = drawn(64, 20)
      r = paper(root)
      expect.truthy(r.tables.items:find('full L1,"Tasks solved at K, the whole subset",complete', 1, true), r.tables.items)
      expect.contains(item(r, "full_L1")["tasks solved|share"].from, dir:match "best_of_n/.*$")
    end)
  end)

  it("takes nothing from runs that were timed in different ways", function()
    support.in_folder(function(root)
      make(root, "best_of_n", { params = { seed = 42, k = 2 }, samples = { { 19, 0, 2 }, { 19, 0, 0 } } })
      make(root, "boa", { params = { seed = 42, k = 2 }, result = { step = 0, sample_fast_1 = 0.5 }, samples = { { 19, 0, 2 } }, protocol = "full" })
      local r = paper(root)
      expect.equal(item(r, "equivalent_K")["BoA|equivalent K"] and item(r, "equivalent_K")["BoA|equivalent K"].reproduced or "not run", "not run")
      expect.truthy(r.tables.items:find("equivalent K,[^\n]*not run,the protocol of [^\n]* is not that of "), r.tables.items)
      expect.equal(item(r, "A_3")["42|sample_fast_1"].reproduced, 0.5, "of one run alone")
    end)
  end)

  it("takes the newest run, whatever it is called", function()
    support.in_folder(function(root)
      make(root, "boa", { params = { seed = 42, k = 2 }, result = { step = 0, sample_fast_1 = 0.75 }, samples = { { 19, 0, 2 } }, t = 3e9 })
      make(root, "boa", { params = { seed = 42, k = 2 }, result = { step = 0, sample_fast_1 = 0.25 }, samples = { { 19, 0, 2 } }, t = 2e9 })
      expect.equal(item(paper(root), "A_3")["42|sample_fast_1"].reproduced, 0.75, "the last name is that of the older one")
      make(root, "boa", { params = { seed = 42, k = 2, lr = 1 }, result = { step = 0, sample_fast_1 = 0.5 }, samples = { { 19, 0, 2 } }, t = 2.5e9 })
      expect.equal(item(paper(root), "A_3")["42|sample_fast_1"].reproduced, 0.75, "nor is a configuration newer for its first run")
    end)
  end)

  it("counts the samples that a share is of, and names the source of what drew none", function()
    support.in_folder(function(root)
      recorded(root)
      local source = root .. "/runs/best_of_n/*"
      make(root, "selection", { params = { seed = 42, from = source, step = 0, tasks = core.array {}, k = 16 }, rollouts = 0,
        tables = { rules = "rule,fast_1_sure,lo,hi,fast_1,no_copies,speedup\nrandom,0.5,,,0.5,0.5,1\n" } })
      local r = paper(root)
      local t = item(r, "A_5_2_B_6")
      expect.equal(t["0|sample_fast_1"].n, 8, "step 0 of two seeds")
      expect.equal(t["0|sample_fast_1"].of, "samples")
      expect.equal(t["1|sample_fast_1"].n, "", "the samples of seed 43 at step 1 are not there to be counted")
      local a = item(r, "A_3")
      expect.equal(a["42|sample_fast_1"].n, 4, "of the chosen step, without its second draw; 8 were charged")
      expect.equal(a["mean|sample_fast_1"].n, 8, "of both seeds")
      expect.equal(item(r, "B_2")["2|pass"].n, 4, "not the 8 rollouts that were charged")
      expect.equal(item(r, "B_3")["random|fast_1"].n, 4, "of the source: it was charged none")
      expect.equal(item(r, "A_5_5_B_9")["feedback 42|sample_fast_1"].n, 1)
      expect.equal(item(r, "A_4_1")["BoA|k"].n, "", "a parameter is no share")
      local page = core.read(r.run.dir .. "/paper.md")
      expect.truthy(page:find("Made with selection --from " .. source .. " --step 0, from", 1, true), page)
      expect.truthy(not page:find("--k 16", 1, true), "a setting that was not read")
    end)
  end)

  it("gives no row of what the samples do not say, the reason in words, and all the others", function()
    support.in_folder(function(root)
      local samples = {}
      for i = 1, 12 do samples[i] = { i % 2 + 19, 0, 1 + i / 4 } end
      make(root, "best_of_n", { params = { seed = 42, k = 6 }, samples = samples, unlikely = true })
      local r = paper(root)
      expect.contains(r.tables.items, "no log-probability, which their source did not give")
      expect.truthy(r.tables.items:find('\nB 11,[^\n]*,not run,"samples of task %d+ have no log%-probability'), r.tables.items)
      expect.truthy(r.tables.items:find('\ncorrelations,[^\n]*,not run,"samples of task %d+ have no log%-probability'), r.tables.items)
      expect.equal(item(r, "A_6_B_8")["1|speedup"].reproduced, 4, "of speedups alone")
      core.remove(root .. "/runs")
      make(root, "best_of_n", { params = { seed = 42, k = 6 }, samples = samples, unjudged = 1,
        tables = { scaling = "k,pass,lo,hi,best_of_k\n1,0.25,,,1\n" } })
      r = paper(root)
      expect.truthy(r.tables.items:find("\nA 1,[^\n]*,not run,[^\n]*samples of task %d+ have no verdict"), r.tables.items)
      expect.equal(item(r, "B_2")["1|pass"].reproduced, 0.25, "of the script's own table")
    end)
  end)

  it("names every published value's item, and every derived function is one", function()
    local known, derived = {}, require "paper.derived"
    for _, source in ipairs(require "paper.sources") do
      expect.truthy(not known[source[1]], source[1] .. " is there twice")
      known[source[1]] = true
      for i = 3, #source do
        expect.truthy(not source[i].derived or derived[source[i].derived], tostring(source[i].derived))
      end
    end
    for _, p in ipairs(require "paper.published") do
      expect.truthy(known[p[1]], p[1])
      expect.equal(type(p[4]), "number")
      expect.truthy(#p[5] > 0)
    end
  end)

  it("refuses where there is no run at all", function()
    support.in_folder(function(root)
      local r = support.execute(support.file "experiments/paper.lua", { from = root .. "/none/*" }, { root = root .. "/runs" })
      expect.equal(r.status, "failed")
      expect.truthy(tostring(r.value):find("no recorded runs match", 1, true), tostring(r.value))
    end)
  end)
end)
