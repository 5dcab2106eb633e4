-- SPDX-License-Identifier: Apache-2.0
--
-- Statistics of samples: what counts as fast and as sure, and the task as the unit. Samples are made up, since only their
-- verdicts enter.
local stats = require "vegttt.stats"

local function sample(task, result)
  for k, v in pairs { correct = true, is_copy = false, status = "correct_fast", speedup = 2, speedup_measured = 2,
    speedup_lo = 1.9 } do
    if result[k] == nil then result[k] = v end
  end
  return { task = { id = task, name = "t" .. task }, tokens = {}, result = result }
end

describe("what counts", function()
  local copy = { is_copy = true, speedup = 1, speedup_measured = 1.3 }
  local flagged = { status = "flagged" }
  local wrong = { correct = false, speedup = 9, speedup_measured = 9, speedup_lo = 9 }
  local unsure = { speedup = 1.2, speedup_measured = 1.2, speedup_lo = 0.9 }
  local slow = { speedup = 0.5, speedup_measured = 0.5, speedup_lo = 0.4 }

  it("fast is the papers': correct and measured above p, copies and flagged results included", function()
    for i, row in ipairs { { {}, 1 }, { copy, 1 }, { flagged, 1 }, { wrong, 0 }, { unsure, 1 }, { slow, 0 } } do
      expect.equal(stats.fast({ { sample(1, row[1]) } }).value, row[2], "row " .. i)
    end
    expect.equal(stats.fast({ { sample(1, {}) } }, 2).value, 0) -- above p, not at it
  end)

  it("sure is ours: the lower end above p, no copy, not flagged", function()
    for i, row in ipairs { { {}, 1 }, { copy, 0 }, { flagged, 0 }, { wrong, 0 }, { unsure, 0 }, { slow, 0 } } do
      expect.equal(stats.fast_sure({ { sample(1, row[1]) } }).value, row[2], "row " .. i)
    end
  end)

  it("a wrong kernel has no speed", function()
    local g = { { sample(1, {}), sample(1, wrong) } }
    expect.near(stats.best_of_k(g, 1).value, 1) -- (2 + 0) / 2
    expect.near(stats.best_of_k(g, 2).value, 2)
    expect.equal(stats.by_task(g)[1].speedup, 2)
    expect.equal(stats.by_task(g)[1].best, g[1][1])
    expect.near(stats.pass_at_k(g, 1).value, 0.5)
    expect.equal(stats.task_success { { sample(1, wrong) } }.value, 0)
  end)

  it("fast says how much of it are copies, within noise of 1, and flagged", function()
    local g = { { sample(1, copy), sample(1, flagged), sample(1, { speedup_measured = 1.05 }), sample(1, { speedup_measured = 1.06 }), sample(1, wrong),
      sample(1, slow), sample(1, { is_copy = true, speedup_measured = 0.9 }), sample(1, {}) } }
    local shares = stats.shares(g)
    expect.near(shares.sample_fast_1.value, 5 / 8)
    expect.near(shares.sample_fast_1_copies.value, 1 / 8) -- not the copy that was timed below 1
    expect.near(shares.sample_fast_1_near_1.value, 1 / 8)
    expect.near(shares.sample_fast_1_flagged.value, 1 / 8)
    expect.near(shares.sample_fast_1_sure.value, 3 / 8)
  end)

  it("a rate is of a field or of a status", function()
    local g = { { sample(1, copy), sample(1, flagged), sample(1, {}), sample(1, {}) } }
    expect.near(stats.rate(g, "is_copy").value, 0.25)
    expect.near(stats.rate(g, "flagged").value, 0.25)
  end)
end)

describe("the task is the unit", function()
  local slow = { speedup = 0.5, speedup_measured = 0.5, speedup_lo = 0.4 }

  it("a task of eight samples weighs as much as a task of one", function()
    local many, one = {}, { sample(2, {}) }
    for i = 1, 8 do many[i] = sample(1, slow) end
    local r = stats.fast { many, one }
    expect.near(r.value, 0.5)
    expect.equal(r.n, 2)
    expect.equal(r.n_samples, 9)
    expect.equal(r.unit, "task")
  end)

  it("a flat list is grouped by task, in order of first appearance", function()
    local rows = stats.by_task { sample(7, {}), sample(3, slow), sample(7, slow) }
    expect.same({ rows[1].task, rows[2].task, rows[1].n, rows[2].n }, { 7, 3, 2, 1 })
    expect.near(rows[1].fast_1, 0.5)
  end)

  it("no samples and no values have no mean", function()
    expect.truthy(stats.fast({}).value ~= stats.fast({}).value, "not a number")
    expect.truthy(stats.mean_ci({}).value ~= stats.mean_ci({}).value, "not a number")
  end)
end)
