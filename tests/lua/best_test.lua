-- SPDX-License-Identifier: Apache-2.0
--
-- The best kernels of a run: judged twice, by evaluators of their own. The second verdicts are the real ones, changed
-- where a test needs a kernel that fails when it is judged again.
local support = require "support"

-- Runs best_of_n on "same", of whose answers two are faster for sure: the plain copy of x and the short chain.
local function best_of_n(root, again, o)
  o = o or {}
  o.root, o.again = root, again
  local files = support.task_files(root)
  return support.execute(support.file "experiments/best_of_n.lua", { tasks = { files.same }, k = 24, temperature = 1.0 },
    o)
end

local in_folder, lines = support.in_folder, support.lines
local function is_plain(code) return code:find "y%[i%] = x%[i%];" ~= nil end
local function is_chain(code) return code:find "reps / 8" ~= nil end

-- First and second verdicts of a run.
local function verdicts(r)
  local first, second = {}, {}
  for _, line in ipairs(lines(r, "evals.jsonl")) do
    local to = line.confirms and second or first
    to[#to + 1] = line
  end
  return first, second
end

local function find(list, fn)
  for _, x in ipairs(list) do
    if fn(x) then return x end
  end
end

-- The fields of the kernels table's only row.
local function row(r)
  local out = {}
  for field in r.tables.kernels:match "\r\n(.-)\r\n":gmatch "([^,]*),?" do out[#out + 1] = field end
  return out
end

describe("the best kernel", function()
  it("is reported at the speedup of its second verdict, from an evaluator of its own", function()
    in_folder(function(root)
      local r = best_of_n(root, function(_, fields) return { speedup = 0.75 * fields.speedup } end)
      expect.equal(r.status, "done")
      local _, second = verdicts(r)
      expect.equal(#second, 1)
      local first = find(verdicts(r), function(v) return v.key == second[1].confirms end)
      local k = row(r)
      expect.equal(k[2], "same")
      expect.near(tonumber(k[3]), second[1].speedup)
      expect.near(tonumber(k[6]), first.speedup)
      expect.truthy(tonumber(k[3]) < 0.9 * tonumber(k[6]), "the second verdict is what is shown")
      expect.equal(k[7], "1")
      expect.equal(#r.core.asked_again, 1)
      expect.equal(r.core.asked_again[1].evaluator, 2)
      expect.equal(r.core.asked_again[1].fresh, true)
      expect.truthy(is_plain(r.core.asked_again[1].code), "the fastest is tried first")
    end)
  end)

  it("is none that fails on new inputs, or is not faster for sure again", function()
    in_folder(function(root)
      local r = best_of_n(root, function(code)
        if is_plain(code) then return { status = "wrong_output", correct = false, speedup = 0, speedup_lo = 0 } end
        return {}
      end)
      local k, _, second = row(r), verdicts(r)
      expect.equal(k[7], "2")
      expect.near(tonumber(k[3]), find(second, function(v) return v.correct end).speedup)
      expect.truthy(is_chain(r.core.asked_again[2].code), "the next one is tried")
      local none = best_of_n(root .. "/none", function() return { speedup = 1.01, speedup_lo = 0.99 } end)
      expect.same(row(none), { "10001", "same", "", "", "", "", "2" })
    end)
  end)

  it("keeps both verdicts in the record, the second naming the first, and asks for none twice", function()
    in_folder(function(root)
      local first = best_of_n(root)
      local n = #lines(first, "evals.jsonl")
      local _, second = verdicts(first)
      expect.equal(#second, 1)
      expect.equal(second[1].protocol, "full")
      local of = find(verdicts(first), function(v) return v.key == second[1].confirms end)
      expect.equal(of.code_sha, second[1].code_sha)
      expect.equal(of.protocol, "fast")
      local again = best_of_n(root, function() return { correct = false } end)
      expect.equal(#again.core.asked_again, 0)
      expect.equal(#lines(again, "evals.jsonl"), n)
      expect.same(again.tables, first.tables)
      expect.same(again.meter.charged, first.meter.charged)
    end)
  end)

  it("is the same when the run is killed at any turn and run again", function()
    in_folder(function(root)
      local whole = best_of_n(root .. "/whole")
      for at = 1, whole.counts.n_turns do
        local dir = root .. "/" .. at
        expect.equal(best_of_n(dir, nil, { kill_at = at }).status, "killed")
        local r = best_of_n(dir, nil, { schedule = at })
        expect.equal(r.tables.kernels, whole.tables.kernels)
        expect.equal(#lines(r, "evals.jsonl"), #lines(whole, "evals.jsonl"))
      end
    end)
  end)

  it("comes from any step of an adaptation", function()
    in_folder(function(root)
      local files = support.task_files(root)
      local r = support.run(support.file "experiments/boa.lua", { tasks = { files.same, files.negated }, k = 8, steps = 2,
        lr = 0.003, temperature = 1.0 }, { root = root })
      expect.contains(r.tables.kernels, "task,name,step,speedup,lo,hi,first,tried\r\n")
      local _, second = verdicts(r)
      expect.equal(#second, 2)
      for _, v in ipairs(second) do
        local sample = find(lines(r, "rollouts.jsonl"), function(s) return s.code_sha == v.code_sha and s.task == v.task end)
        expect.truthy(r.tables.kernels:find(("%d,%s,%d,"):format(v.task, v.task_name, sample.step), 1, true),
          r.tables.kernels)
      end
    end)
  end)

  it("does not change what a recorded run says of its samples", function()
    in_folder(function(root)
      local r = best_of_n(root, function() return { correct = false, speedup = 0, status = "wrong_output" } end)
      local n_fast = 0
      local group = r.modules.vegttt.rollouts(r.run.dir)[1]
      expect.equal(group.task.name, "same")
      expect.contains(group[1].result:feedback(), ".")
      expect.raises("a sample has no 'reslt'", function() return group[1].reslt end)
      for _, s in ipairs(group) do
        if s.result.speedup > 1 then n_fast = n_fast + 1 end
      end
      expect.truthy(n_fast > 0, "first verdicts of recorded samples")
    end)
  end)

  it("needs verdicts, and says so", function()
    support.inside(function(_, p, vt)
      local g = vt.policy(p.model):start():sample(vt.tasks({ ids = "19" })[1]:prompt(), vt.sampling(p, { n = 2 }))
      expect.raises("call vt.eval.all first", vt.eval.best, g)
      expect.raises("needs a group of samples, not a nil", vt.eval.best)
      expect.equal(#vt.eval.best {}, 0)
      vt.eval.all(g)
      local row = vt.eval.best(g)[1]
      expect.equal(row.task.id, 19)
      expect.raises("a row of vt.eval.best has no 'verdit'; did you mean 'verdict'?", function() return row.verdit end)
      expect.raises("caps has no 'scores'; did you mean 'score'?", function() return vt.policy(p.model).caps.scores end)
    end)
  end)
end)
