-- SPDX-License-Identifier: Apache-2.0
--
-- The record of a run: everything that was computed, by key, so that running the script again is resuming it.
--
-- Keys are hashes of what produced a result and hold nothing of time, order or worker counts. Samples are lines of
-- rollouts.jsonl (kind "sample"), verdicts lines of evals.jsonl, updates, snapshot names and cells entries of the journal. A
-- rollout may get a second line (kind "reward") when its reward and advantage are known. A result counts as recorded
-- when its line is in the file; a torn last line is cut by the store.
local core = require "vegttt.core"

local Record = {}
Record.__index = Record

local record = {}

local function hash(fields) return core.sha256(core.json_encode(fields)) end
record.hash = hash

---handle: of core.run_open; dir: its folder; donors: runs that may know what this one does not.
function record.open(handle, dir, donors)
  local r = setmetatable({ handle = handle, donors = donors, samples = {}, evals = {}, issued = {} }, Record)
  core.read_lines(dir .. "/rollouts.jsonl", function(line)
    local known = r.samples[line.key]
    if known then
      known.reward, known.advantage = line.reward or known.reward, line.advantage or known.advantage
      known.dropped = line.dropped
    elseif line.tokens then
      line.logprobs, line.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
      r.samples[line.key] = line
    end
  end)
  core.read_lines(dir .. "/evals.jsonl", function(line) r.evals[line.key] = line end)
  return r
end

function Record:put_sample(line)
  line.kind = "sample"
  self.samples[line.key] = line
  core.run_line(self.handle, "rollouts", line)
end

---Reward and advantage of a recorded sample; written when they are new.
function Record:amend_sample(key, fields)
  local known = self.samples[key]
  if not known then return end
  local is_new = false
  for k, v in pairs(fields) do
    if known[k] ~= v then
      known[k] = v
      is_new = true
    end
  end
  if not is_new then return end
  local line = { kind = "reward", key = key }
  for k, v in pairs(fields) do line[k] = v end
  core.run_line(self.handle, "rollouts", line)
end

function Record:put_eval(line)
  self.evals[line.key] = line
  core.run_line(self.handle, "evals", line)
end

---What the journal has under a key; updates and scores that a donor has are put there.
function Record:get(key)
  local value = core.journal_get(self.handle, key)
  if value ~= nil or not (key:find "^update/" or key:find "^score/") then return value end
  value = self.donors:value(key)
  if value ~= nil then core.journal_put(self.handle, key, value) end
  return value
end

function Record:put(key, value) core.journal_put(self.handle, key, value) end

return record
