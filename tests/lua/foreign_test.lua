-- SPDX-License-Identifier: Apache-2.0
--
-- What an import makes of verdicts, numbers and codes that another program wrote: several verdicts of one code become one by
-- a rule that can be worked by hand, and what no measurement gives is refused with its line.
local core = require "vegttt.core"
local foreign = require "vegttt.foreign"
local support = require "support"

-- The rows of a file of these lines, by our names.
local function read(...)
  local lines = table.pack(...)
  local rows
  support.in_folder(function(root)
    core.write(root .. "/theirs.jsonl", table.concat(lines, "\n") .. "\n")
    rows = foreign.read(root .. "/theirs.jsonl", {})
  end)
  return rows
end

local function verdict(correct, speedup, lo, hi, more)
  local row = { correct = correct, speedup = speedup, speedup_lo = lo, speedup_hi = hi }
  for k, v in pairs(more or {}) do row[k] = v end
  return row
end

describe("one_verdict: several of one imported code", function()
  it("are correct where all are, with the median speedup and the widest interval", function()
    local one, differ = foreign.one_verdict { verdict(true, 4, 3, 5), verdict(true, 2, 1.5, 2.5), verdict(true, 2.5, 2.4, 7) }
    expect.equal(one.correct, true)
    expect.equal(one.speedup, 2.5) -- the mean is 2.83, the first 4
    expect.equal(one.speedup_lo, 1.5)
    expect.equal(one.speedup_hi, 7)
    expect.equal(differ, true)
  end)

  it("are wrong where one is, and say why; a copy where one says so", function()
    local one = foreign.one_verdict { verdict(true, 4, 3, 5), verdict(false, nil, nil, nil, { feedback = "element 3" }),
      verdict(true, 2, 1, 3, { is_copy = true }) }
    expect.equal(one.correct, false)
    expect.equal(one.feedback, "element 3")
    expect.equal(one.is_copy, true)
    expect.equal(one.speedup, 3) -- of those that are correct
  end)

  it("have no interval where one of them has none, and are one where they are the same", function()
    local one, differ = foreign.one_verdict { verdict(true, 4, 3, 5), verdict(true, 4) }
    expect.equal(one.speedup_lo, nil)
    expect.equal(one.speedup_hi, nil)
    expect.equal(differ, true)
    expect.equal(select(2, foreign.one_verdict { verdict(true, 4, 3, 5), verdict(true, 4, 3, 5) }), false)
  end)

  it("are one record, its times the medians", function()
    local one = foreign.one_verdict { verdict(true, 2, nil, nil, { runtime_us = 9, ref_us = 20 }), verdict(true, 2, nil, nil,
      { runtime_us = 5, ref_us = 30 }), verdict(true, 2, nil, nil, { runtime_us = 7, ref_us = 22 }) }
    expect.equal(one.runtime_us, 7)
    expect.equal(one.ref_us, 22)
  end)
end)

describe("an imported_line", function()
  it("that no measurement gives is refused by its number", function()
    local base = '"task":19,"text":"x"'
    for _, case in ipairs {
      { '"speedup":-1', "speedup is -1; it must be at least 0" }, { '"correct":true,"speedup":0', "speedup is 0, and correct is true" },
      { '"runtime_us":0', "runtime_us is 0; it must be more than 0" }, { '"i":0', "i is 0; it must be at least 1" },
      { '"temperature":-0.5', "temperature is -0.5; it must be at least 0" }, { '"logprob":0.5', "a log-probability is at most 0" },
      { '"logprobs":[-1,0.5]', "logprobs: number 2 is 0.5" }, { '"tokens":[1,2.5]', "tokens: number 2 is 2.5, no token's id" },
      { '"tokens":[1,2],"n_tokens":3', "n_tokens is 3 and tokens has 2 numbers" },
      { '"tokens":[1,2],"n_tokens":1', "n_tokens is 1 and tokens has 2 numbers" },
      { '"tokens":[1,2],"logprobs":[-1]', "tokens has 2 numbers and logprobs 1" },
      { '"logprobs":[-1,-2],"logprob":-4', "logprob is -4 and the sum of logprobs -3" },
      { '"speedup_lo":3,"speedup_hi":2', "speedup_lo is 3, above speedup_hi, 2" },
      { '"logprobs":[-1,"x"]', "logprobs is no numbers" }, { '"logprobs":{"a":1}', "logprobs is no numbers" } } do
      expect.raises("line 2 of ", read, ("{%s}"):format(base), ("{%s,%s}"):format(base, case[1]))
      expect.raises(case[2], read, ("{%s}"):format(base), ("{%s,%s}"):format(base, case[1]))
    end
    expect.equal(read('{"task":19,"text":"x","logprob":0.0005,"logprobs":[0.0005]}')[1].logprob, 0.0005) -- what rounding makes of 0
  end)

  it("without code that has a verdict is its code whole, and one code was judged in one way", function()
    local task = { id = 19, name = "relu", digest = "d", level = 1 }
    local function find(rows, is_judged_here) foreign.find_code("f", rows, function() return task end, is_judged_here) end
    local rows = { { text = "import triton", correct = true, n = 1 }, { text = "nothing", n = 2 } }
    find(rows)
    expect.equal(rows[1].found, "import triton")
    expect.equal(rows[2].found, nil) -- without a verdict there is nothing to keep it for
    rows = { { text = "import triton", correct = true, n = 1 } }
    find(rows, true)
    expect.equal(rows[1].found, nil) -- it is judged here, and here it is no code
    local two = { { code = "a", correct = true, protocol = "fast", n = 1 }, { code = "a", correct = true, protocol = "full", n = 2 } }
    expect.raises("line 2 of f: protocol is full, and fast for the same code in line 1", find, two)
    find(two, true)
  end)

  it("is a sample of its file: the same line of another file is another", function()
    local task, run = { id = 19, digest = "d", level = 1 }, { id = "r" }
    local row = { text = "x", n = 1, found = "x" }
    local function key(source) return foreign.sample(row, task, 1, run, source).key end
    expect.equal(key "one", key "one")
    expect.truthy(key "one" ~= key "two")
  end)

  it("has a mean log-probability of 0 where it is empty, and none where its length is not known", function()
    local function mean(row)
      row.text, row.n, row.found = "", 1, nil
      return foreign.sample(row, { id = 19, digest = "d", level = 1 }, 1, { id = "r" }, "s").logprob_mean
    end
    expect.equal(mean { tokens = {}, n_tokens = 0, logprobs = {} }, 0) -- nil ended every rule by the mean; 0 / 0 is no number
    expect.equal(mean { n_tokens = 4, logprob = -2 }, -0.5)
    expect.equal(mean { logprob = -2 }, nil)
    expect.equal(mean { n_tokens = 0 }, nil, "nothing is said of it")
  end)
end)
