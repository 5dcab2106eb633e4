-- SPDX-License-Identifier: Apache-2.0
--
-- What the panel says: the script's stage, and in its place what the process does before it can begin.
local core = require "vegttt.core"
local progress = require "vegttt.progress"
local queue_watch = require "vegttt.queue_watch"

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

describe("a queue beside the stage", function()
  local function state(workers, jobs, why) return { workers = workers, jobs = jobs, up = not why, why = why or "" } end

  it("is workers and what waits", function()
    local w = queue_watch.new()
    expect.equal((queue_watch.look(w, state(3, 120), 0)), "3 workers, 120 waiting")
    expect.equal((queue_watch.look(w, state(3, 0), 1)), "3 workers")
    expect.equal((queue_watch.look(w, state(3, 2, "gone"), 2)), "the queue cannot be reached, 2 waiting")
  end)

  it("says once that nobody works, after 30 s in which work waited", function()
    local w = queue_watch.new()
    local function said(q, now) return select(2, queue_watch.look(w, q, now)) end
    expect.equal(said(state(0, 5), 0), nil)
    expect.equal(said(state(0, 5), 29), nil)
    expect.contains(said(state(0, 5), 30), "no worker of the queue has lived for 30 s and 5 evaluations wait")
    expect.equal(said(state(0, 6), 70), nil)
    expect.equal(said(state(1, 6), 71), nil)
    expect.equal(said(state(0, 6), 72), nil) -- from the beginning
    expect.equal(said(state(0, 0), 200), nil)
    expect.equal(said(state(0, 1), 201), nil)
    expect.contains(said(state(0, 1), 231), "no worker of the queue has lived")
  end)

  it("says once that it cannot be reached, and why", function()
    local w = queue_watch.new()
    local function said(now) return select(2, queue_watch.look(w, state(2, 4, "refused by host"), now)) end
    expect.equal(said(0), nil)
    expect.contains(said(31), "cannot be reached (refused by host); 4 evaluations")
    expect.equal(said(90), nil)
  end)
end)
