-- SPDX-License-Identifier: Apache-2.0
--
-- The papers' reward: each correct sample's speedup over the running median of its task's earlier correct ones, which is
-- 1 before the first. "Earlier" goes across steps: the order is step, task, sample, whatever order verdicts came in, so
-- a replay gives the same numbers. (In the original the order is that of arrival.) If all kernels of a task are 20 times
-- faster, the first gets 20 and the rest 1.
--
-- The state is one list of speedups per task. What each batch adds to it is an entry of the run's journal; a run that is
-- continued has to add the same, or the rewards that its weights came from would not be those that it shows.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local sched = require "vegttt.sched"

-- Speedups in ascending order.
local function insert(sorted, x)
  local lo, hi = 1, #sorted + 1
  while lo < hi do
    local mid = (lo + hi) // 2
    if sorted[mid] <= x then lo = mid + 1 else hi = mid end
  end
  table.insert(sorted, lo, x)
end

local function median(sorted)
  local n = #sorted
  if n == 0 then return 1 end
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

local n_states = setmetatable({}, { __mode = "k" }) -- of each run

-- The run that asks; the state's number is its place among those that the run has made.
local function run_of(state)
  local task = sched.current()
  local run = task and task.run
  if run and not state.number then
    n_states[run] = (n_states[run] or 0) + 1
    state.number = n_states[run]
  end
  return run
end

-- Entries reward/paper/STATE/BATCH.
local function journal(state, added)
  local run = run_of(state)
  if not run then return end
  state.n_batches = state.n_batches + 1
  local key = ("reward/paper/%d/%d"):format(state.number, state.n_batches)
  local known = run.record:get(key)
  if known == nil then
    run.record:put(key, added)
  elseif core.json_encode(known) ~= core.json_encode(added) then
    errors.raise("infrastructure", "vt.reward.paper",
      ("vt.reward.paper: batch %d was rewarded by other speedups when this run was first made; use --fresh"):format(
        state.n_batches))
  end
end

---speedup(s): what the sample's verdict counts, 0 when it is not correct.
return function(speedup)
  local state = { n_batches = 0, of = {} }
  run_of(state)
  return function(batch)
    local added = core.array {}
    for _, g in ipairs(groups.list("vt.reward", batch)) do
      for _, s in ipairs(g) do
        local task, x = s.task or g.task, speedup(s)
        local id = task and task.id or 0
        state.of[id] = state.of[id] or {}
        s.reward = x > 0 and x / median(state.of[id]) or 0
        if x > 0 then
          insert(state.of[id], x)
          added[#added + 1] = core.array { id, x }
        end
      end
    end
    journal(state, added)
    return batch
  end
end
