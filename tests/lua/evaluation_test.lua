-- SPDX-License-Identifier: Apache-2.0
--
-- Verdicts of the real evaluator as scripts see them, and the concurrency of scripts over real operations.
local small = require "support_tasks"
local support = require "support"

local function code(i) return small.answers[i].pieces[1] end

local function inside(fn)
  support.inside(function(run, p, vt, m) fn(vt, vt.task(small.same), run, p, m) end)
end

describe("verdicts", function()
  it("say what happened to each kind of answer", function()
    inside(function(vt, task)
      local verdicts = vt.map({ 1, 2, 4, 5, 6 }, function(i) return vt.eval.one(task, code(i)) end)
      local statuses = {}
      for i, v in ipairs(verdicts) do statuses[i] = v.status end
      expect.same(statuses, { "correct_fast", "wrong_output", "correct_slow", "correct_slow", "compile_error" })
      expect.truthy(verdicts[1].speedup_lo > 3, "once against 96 times")
      expect.truthy(verdicts[4].speedup_hi < 0.7, "four times as much work")
      expect.equal(verdicts[3].is_copy, true)
      expect.equal(verdicts[3].speedup, 1)
      expect.contains(verdicts[5]:feedback(), "does not compile")
      expect.truthy(#verdicts[2]:feedback { max_chars = 40 } <= 42, "feedback is cut")
      expect.equal(verdicts[1].protocol, "fast")
      expect.equal(verdicts[1].tier, "c")
      local none = vt.eval.one(task, nil)
      expect.equal(none.status, "malformed")
      expect.raises("a verdict has no 'speedpu'; did you mean 'speedup'?", function() return none.speedpu end)
      expect.raises("tier = basic is none of c", vt.eval.one, task, code(1), { tier = "basic" })
      expect.raises("protocol = slow is none of fast, full", vt.eval.one, task, code(1), { protocol = "slow" })
    end)
  end)

  it("are shared by samples of equal code, and charged to each", function()
    inside(function(vt, task, run, p)
      local group = vt.policy(p.model):start():sample(task:prompt(), { n = 12, temperature = 1.0 })
      vt.eval.all(group)
      local distinct = #vt.group_by(vt.filter(group, function(s) return s.code end), "code_sha")
      expect.equal(run:meter().charged.evaluations, 12)
      expect.equal(run:meter().spent.evaluations, distinct)
      expect.raises("a sample has no 'reslt'; did you mean 'result'?", function() return group[1].reslt end)
      expect.raises("a group has no 'drwa'; did you mean 'draw'?", function() return group.drwa end)
      expect.equal(group[13], nil)
    end)
  end)
end)

describe("concurrency", function()
  it("overlaps real operations and keeps their order", function()
    inside(function(vt, task)
      local one = function(i) return function() return vt.eval.one(task, code(i)).status end end
      expect.same(vt.all { one(1), one(2) }, { "correct_fast", "wrong_output" })
      local each = vt.each({ 1, 2, 6 }, function(i) return one(i)() end)
      table.sort(each)
      expect.same(each, { "compile_error", "correct_fast", "wrong_output" })
      expect.equal(vt.race { one(6), function() return vt.spawn(one(1)):join() end } ~= nil, true)
      expect.equal(vt.timeout(60, one(2)), "wrong_output")
      local h = vt.spawn(function() return vt.eval.one(task, code(1), { fresh = true }) end)
      h:cancel()
      expect.raises("cancelled", h.join, h)
      expect.raises("vt.eval.one cannot wait here", table.sort, { 1, 2, 3 }, function(a, b)
        one(1)()
        return a < b
      end)
    end)
  end)

  it("offers scores to early stopping as numbers or statistics", function()
    inside(function(vt)
      local stop = vt.early_stop { patience = 1 }
      expect.equal(stop:offer(vt.stats.wilson(1, 2), { step = 0 }), "best")
      expect.equal(stop:offer(0.25, { step = 1 }), "stop")
      expect.equal(stop:best().step, 0)
      expect.raises("early_stop has no 'bset'; did you mean 'best'?", function() return stop.bset end)
    end)
  end)
end)
