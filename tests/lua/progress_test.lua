-- SPDX-License-Identifier: Apache-2.0
--
-- What the panel says: the script's stage, and in its place what the process does before it can begin.
local core = require "vegttt.core"
local progress = require "vegttt.progress"

-- The stage that would be shown.
local function stage_of(p)
  local shown
  local real = core.progress
  core.progress = function(t) shown = t.stage end
  local ok, e = pcall(p.show, p)
  core.progress = real
  if not ok then error(e, 0) end
  return shown
end

describe("the panel", function()
  it("says what is waited for until it is done", function()
    local p = progress.new()
    expect.equal(stage_of(p), "starting")
    local done = p:doing "opening the model"
    p.stage = "step 1 of 3"
    expect.equal(stage_of(p), "opening the model")
    done()
    expect.equal(stage_of(p), "step 1 of 3")
  end)

  it("two things at once end in any order", function()
    local p = progress.new()
    local first, second = p:doing "the first", p:doing "the second"
    expect.equal(stage_of(p), "the second")
    first()
    expect.equal(stage_of(p), "the second")
    second()
    expect.equal(stage_of(p), "starting")
    second = p:doing "again"
    expect.equal(stage_of(p), "again")
  end)

  it("a sweep says what its cell waits for", function()
    local sweep = progress.new()
    local done = progress.new(nil, sweep):doing "opening the model"
    expect.equal(stage_of(sweep), "opening the model")
    done()
    expect.equal(stage_of(sweep), "starting")
  end)

  it("the first verdicts take a compiler", function()
    local p = progress.new()
    p.stage = "step 0 of 3"
    p:plan_evals(2)
    expect.contains(stage_of(p), "compiling and checking the first kernels")
    p:add_eval({ status = "wrong_output", correct = false, speedup = 0 })
    expect.equal(stage_of(p), "step 0 of 3")
  end)
end)
