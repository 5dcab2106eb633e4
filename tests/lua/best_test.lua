-- SPDX-License-Identifier: Apache-2.0
--
-- The best kernels of a run over the fake engine, with an evaluator whose second verdicts differ from its first.
local support = dofile "tests/lua/support_fake.lua"

-- A core whose evaluator says again(code, fields), a change to the fields, of what is judged with the full protocol.
local function core_with(again, o)
  local core = support.core(o)
  local submit = core.eval_submit
  core.asked_again, core.opened = {}, 0
  function core.eval_open()
    core.opened = core.opened + 1
    return { n = core.opened }, { version = "fake 1", machine = "fake machine" }
  end
  function core.eval_submit(handle, task, code, options)
    local op = submit(handle, task, code, options)
    if options.protocol ~= "full" then return op end
    local judge = op.fn
    op.fn = function()
      table.insert(core.asked_again, { code = code, evaluator = handle.n, fresh = options.fresh })
      local json, fields = judge()
      for name, value in pairs(again(code)) do fields[name] = value end
      return json, fields
    end
    return op
  end
  return core
end

-- Runs best_of_n on one task with many samples: the fake model's bodies of speed 2, 3 and 5 are all among them.
local function best_of_n(root, again, o)
  local core = core_with(again, o)
  local r = support.execute(support.file "experiments/best_of_n.lua", { tasks = "12", k = 24 },
    { root = root, core = core })
  r.core = core
  return r
end

local in_folder = support.in_folder

local function lines(r, name)
  local out = {}
  r.core.read_lines(r.run.dir .. "/" .. name, function(line) out[#out + 1] = line end)
  return out
end

local function slower(code) return { speedup = 0.8 * tonumber(code:match "speed (%d)") } end

describe("the best kernel", function()
  it("is reported at the speedup of its second verdict, from an evaluator of its own", function()
    in_folder(function(root)
      local r = best_of_n(root, slower)
      expect.equal(r.status, "done")
      expect.contains(r.tables.kernels, "12,diag_matmul,4,4.5,5.5,5,1")
      expect.equal(#r.core.asked_again, 1)
      expect.equal(r.core.asked_again[1].evaluator, 2)
      expect.equal(r.core.asked_again[1].fresh, true)
    end)
  end)

  it("is none that fails on new inputs, or is not faster for sure again", function()
    in_folder(function(root)
      local r = best_of_n(root, function(code)
        if code:find "speed 5" then return { status = "wrong_output", correct = false, speedup = 0, speedup_lo = 0 } end
        if code:find "speed 3" then return { speedup = 1.01, speedup_lo = 0.99 } end
        return {}
      end)
      expect.contains(r.tables.kernels, "12,diag_matmul,2,1.8,2.2,2,3")
      local none = best_of_n(root .. "/none", function() return { speedup_lo = 0.99 } end)
      expect.contains(none.tables.kernels, "12,diag_matmul,,,,,3")
    end)
  end)

  it("keeps both verdicts in the record, the second naming the first, and asks for none twice", function()
    in_folder(function(root)
      local first = best_of_n(root, slower)
      local n, seconds = #lines(first, "evals.jsonl"), {}
      local by_key = {}
      for _, line in ipairs(lines(first, "evals.jsonl")) do
        by_key[line.key] = line
        if line.confirms then seconds[#seconds + 1] = line end
      end
      expect.equal(#seconds, 1)
      expect.equal(seconds[1].protocol, "full")
      expect.equal(by_key[seconds[1].confirms].code_sha, seconds[1].code_sha)
      expect.equal(by_key[seconds[1].confirms].speedup, 5)
      local again = best_of_n(root, function() return { correct = false } end)
      expect.equal(#again.core.asked_again, 0)
      expect.equal(#lines(again, "evals.jsonl"), n)
      expect.same(again.tables, first.tables)
      expect.same(again.meter.charged, first.meter.charged)
    end)
  end)

  it("is the same when the run is killed at any turn and run again", function()
    in_folder(function(root)
      local whole = best_of_n(root .. "/whole", slower)
      for at = 1, whole.counts.n_turns do
        local dir = root .. "/" .. at
        expect.equal(best_of_n(dir, slower, { kill_at = at }).status, "killed")
        local r = best_of_n(dir, slower, { schedule = at })
        expect.equal(r.tables.kernels, whole.tables.kernels)
        expect.equal(#lines(r, "evals.jsonl"), #lines(whole, "evals.jsonl"))
      end
    end)
  end)

  it("comes from any step of an adaptation", function()
    in_folder(function(root)
      local r = support.execute(support.file "experiments/boa.lua", { tasks = "12,5", k = 4, steps = 3 },
        { root = root, core = core_with(slower) })
      expect.equal(r.status, "done")
      for _, row in ipairs(lines({ core = r.core, run = r.run }, "evals.jsonl")) do
        if row.confirms then expect.contains(r.tables.kernels, ("%d,"):format(row.task)) end
      end
      expect.truthy(r.tables.kernels:find "12,diag_matmul,%d,4,4.5,5.5,5,1\r\n", r.tables.kernels)
    end)
  end)

  it("does not change what a recorded run says of its samples", function()
    in_folder(function(root)
      local r = best_of_n(root, function() return { correct = false, speedup = 0, status = "wrong_output" } end)
      local n_fast = 0
      for _, s in ipairs(r.modules.vegttt.rollouts(r.run.dir)[1]) do
        if s.result.speedup == 5 then n_fast = n_fast + 1 end
      end
      expect.truthy(n_fast > 0, "first verdicts of recorded samples")
    end)
  end)

  it("needs verdicts, and says so", function()
    in_folder(function(root)
      support.execute(support.main(function(_, _, vt)
        local g = vt.policy("fake"):start():sample(vt.tasks({ ids = "19" })[1]:prompt(), { n = 2 })
        expect.raises("call vt.eval.all first", vt.eval.best, g)
        expect.raises("needs a group of samples, not a nil", vt.eval.best)
        expect.equal(#vt.eval.best {}, 0)
        return {}
      end), {}, { root = root })
    end)
  end)
end)
