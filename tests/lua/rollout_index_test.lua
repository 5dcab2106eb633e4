-- SPDX-License-Identifier: Apache-2.0
--
-- The index beside a large run's records gives what the records give, is made anew when they are others, and is nowhere
-- needed: a cut one, or one that cannot be written, changes nothing.
local core = require "vegttt.core"
local support = require "support"

local n_samples = 2000 -- from which on an index is kept

local function sample(i)
  return core.json_encode { v = 1, kind = "sample", key = "k" .. i, task = 19 + i % 2, step = 0, draw = "main", i = n_samples - i,
    seed = tostring(i), weights = "w", prompt_sha = "p", tokens = core.array { i, 2 }, n_tokens = 2, text = "text " .. i,
    code = i % 5 > 0 and "code " .. i % 5 or nil, code_sha = i % 5 > 0 and "c" .. i % 5 or nil, finish = "stop", logprob = -i / 8,
    logprob_mean = -i / 16, temperature = 1, logprobs = core.array { -i / 8, 0 }, logprobs_behaviour = core.array { -i / 8, 0 } }
end

local function verdict(task, code, speedup)
  return core.json_encode { v = 1, key = "v" .. task .. code, task = task, task_name = "t", code_sha = code, correct = true,
    status = "correct_fast", is_copy = false, flags = core.array { "contended" }, speedup = speedup, speedup_measured = speedup,
    speedup_lo = speedup, speedup_hi = speedup, protocol = "fast", machine = "M", evaluator = "e", feedback = "said of " .. code,
    trials = core.array { 1.5, 2.5 } }
end

local function lines(n, fn)
  local out = {}
  for i = 1, n do out[i] = fn(i) end
  return table.concat(out, "\n") .. "\n"
end

local function make(root, speedup)
  local dir = root .. "/large/1"
  core.mkdir(dir)
  core.write(dir .. "/run.json", '{"v":1,"id":"x"}\n')
  core.write(dir .. "/rollouts.jsonl", lines(n_samples, sample) .. '{"v":1,"kind":"reward","key":"k7","reward":2.5,"advantage":-0.5}\n')
  core.write(dir .. "/evals.jsonl", lines(8, function(i) return verdict(19 + i % 2, "c" .. (i + 1) // 2, speedup) end)
    .. verdict(20, "c2", 99):gsub("^{", '{"confirms":"v20c2",') .. "\n") -- a second verdict is no verdict of the sample
  return dir
end

local n_readers = 0
local function read(root, dir, fn)
  n_readers = n_readers + 1
  support.run(support.main(function(_, _, vt)
    fn(vt.rollouts(dir), vt)
    return {}
  end, { name = "reader" .. n_readers }), nil, { root = root .. "/runs" })
end

local function find(groups, key)
  for _, g in ipairs(groups) do
    for _, s in ipairs(g) do
      if s.key == key then return s, g end
    end
  end
end

local function check(groups, vt, speedup)
  expect.equal(#groups, 2)
  expect.equal(groups[1].task.id, 19)
  expect.equal(#groups[1], n_samples // 2)
  for _, g in ipairs(groups) do
    for i = 2, #g do expect.truthy(g[i - 1].i < g[i].i, "by number") end
  end
  local s = find(groups, "k7")
  expect.equal(s.reward, 2.5)
  expect.equal(s.advantage, -0.5)
  expect.equal(s.logprob, -7 / 8)
  expect.equal(s.text, "text 7")
  expect.equal(s.code, "code 2")
  expect.equal(s.tokens[1], 7)
  expect.equal(s.logprobs[1], -7 / 8)
  expect.equal(s.result.speedup, speedup)
  expect.equal(s.result.trials[2], 2.5)
  expect.equal(s.result:feedback(), "said of c2")
  expect.equal(s.result.flags[1], "contended")
  local malformed = find(groups, "k10")
  expect.equal(malformed.code, nil)
  expect.equal(malformed.result.correct, false)
  expect.equal(vt.stats.fast(groups, 1).value, 0.8)
  expect.equal(vt.stats.fast(groups, 1).n_distinct, 4 * 2 + n_samples // 5, "an answer without code is its own text")
  local picks = vt.select.apply(vt.select.rules.surprisal, groups)
  expect.equal(picks[1].samples[1].key, "k1998")
end

describe("the index of rollouts", function()
  it("gives what the records give, the first time and from the file", function()
    support.in_folder(function(root)
      local dir = make(root, 2)
      read(root, dir, function(groups, vt) check(groups, vt, 2) end)
      local first = core.read(dir .. "/rollouts.index")
      read(root, dir, function(groups, vt) check(groups, vt, 2) end)
      expect.equal(core.read(dir .. "/rollouts.index"), first)
    end)
  end)

  it("is made anew when a record is another of the same size, or a line came to it", function()
    support.in_folder(function(root)
      local dir = make(root, 2)
      read(root, dir, function() end)
      local old = core.read(dir .. "/rollouts.index")
      make(root, 3)
      read(root, dir, function(groups, vt) check(groups, vt, 3) end)
      expect.truthy(core.read(dir .. "/rollouts.index") ~= old, "written again")
      core.write(dir .. "/rollouts.index", old)
      read(root, dir, function(groups) expect.equal(find(groups, "k7").result.speedup, 3, "an old index put back") end)
      core.write(dir .. "/rollouts.jsonl", core.read(dir .. "/rollouts.jsonl") .. '{"v":1,"kind":"reward","key":"k7","reward":4.5}\n')
      read(root, dir, function(groups)
        expect.equal(find(groups, "k7").reward, 4.5)
        expect.equal(find(groups, "k7").advantage, nil)
      end)
    end)
  end)

  it("that was cut, or holds something else, is nothing", function()
    support.in_folder(function(root)
      local dir = make(root, 2)
      read(root, dir, function() end)
      local whole = core.read(dir .. "/rollouts.index")
      for _, text in ipairs { "", "no index", whole:sub(1, #whole - 7), whole:sub(1, 200) } do
        core.write(dir .. "/rollouts.index", text)
        read(root, dir, function(groups, vt) check(groups, vt, 2) end)
      end
    end)
  end)

  it("does not stand beside few samples, and a record that is changed under a reader is an error", function()
    support.in_folder(function(root)
      local dir = make(root, 2)
      core.write(dir .. "/rollouts.jsonl", lines(20, sample))
      read(root, dir, function(groups)
        expect.truthy(not core.exists(dir .. "/rollouts.index"))
        expect.equal(find(groups, "k7").text, "text 7")
        local other = { ["13"] = "17", ["17"] = "13" } -- lines as long as before, of other samples
        core.write(dir .. "/rollouts.jsonl", (core.read(dir .. "/rollouts.jsonl"):gsub('"k(1[37])"', function(n) return '"k' .. other[n] .. '"' end)))
        expect.raises("was changed while it was read", function() return find(groups, "k13").text end)
        expect.equal(find(groups, "k12").text, "text 12")
      end)
    end)
  end)
end)
