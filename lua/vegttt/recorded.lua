-- SPDX-License-Identifier: Apache-2.0
--
-- Reading recorded runs back: weights by reference and groups of rollouts with their verdicts, for offline work.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local policy = require "vegttt.policy"
local run_files = require "vegttt.run_files"
local sched = require "vegttt.sched"

local recorded = {}

-- Folders that match a glob with * in any component.
local function glob(pattern)
  local found = { pattern:sub(1, 1) == "/" and "" or "." }
  for part in pattern:gmatch "[^/]+" do
    local next_found = {}
    local is_pattern = part:find("*", 1, true)
    local lua_pattern = "^" .. part:gsub("[%-%.%+%[%]%(%)%$%^%%%?]", "%%%0"):gsub("%*", ".*") .. "$"
    for _, dir in ipairs(found) do
      if not is_pattern then
        if core.exists(dir .. "/" .. part) then next_found[#next_found + 1] = dir .. "/" .. part end
      else
        for _, name in ipairs(core.list(dir)) do
          if name:find(lua_pattern) then next_found[#next_found + 1] = dir .. "/" .. name end
        end
      end
    end
    found = next_found
  end
  return found
end

local function snapshot_dir(dir, name)
  local found
  core.read_lines(dir .. "/journal.jsonl", function(line)
    if line.key == "snapshot/" .. name then found = line.value.id end
  end)
  return found and dir .. "/ckpt/" .. found
end

local function model_of(dir)
  local p = core.json_decode(core.read(dir .. "/params.json"), "params.json")
  local model = p.model and p.model.value or "default"
  return model == "default" and "smollm2-135m" or model:match "^[^+]+"
end

---vt.weights("runs/boa/X@step2") or vt.weights("FOLDER of an adapter")
function recorded.weights(ref)
  if type(ref) ~= "string" then
    errors.misuse("vt.weights", "vt.weights needs \"RUN@SNAPSHOT\" or an adapter folder")
  end
  local dir, name = ref:match "^(.*)@(.+)$"
  if not dir then
    if not core.exists(ref .. "/adapter_config.json") then
      errors.raise("usage", "vt.weights", ("%s is no adapter folder"):format(ref))
    end
    return policy.open("smollm2-135m+" .. ref):start()
  end
  local path = core.exists(dir .. "/journal.jsonl") and snapshot_dir(dir, name)
  if not path or not core.exists(path) then
    errors.raise("usage", "vt.weights", ("there is no snapshot '%s' in %s"):format(name, dir))
  end
  return policy.open(model_of(dir) .. "+" .. path):start()
end

-- First verdicts: those that confirm one are for reporting, and were given to few.
local function verdicts_of(dir)
  local by = {}
  core.read_lines(dir .. "/evals.jsonl", function(line)
    if not line.confirms then by[line.task .. "/" .. line.code_sha] = line end
  end)
  return by
end

local function groups_of(dir)
  local verdicts, groups, by, samples, task_of = verdicts_of(dir), {}, {}, {}, run_files.tasks_of(dir)
  core.read_lines(dir .. "/rollouts.jsonl", function(line)
    if not line.tokens then
      local s = samples[line.key]
      if s then s.reward, s.advantage = line.reward, line.advantage end
      return
    end
    local name = ("%s/%s/%s"):format(line.task, line.weights, line.draw)
    local g = by[name]
    if not g then
      g = setmetatable({ task = task_of(line.task), draw = line.draw, step = line.step, run = dir }, policy.Group)
      by[name] = g
      groups[#groups + 1] = g
    end
    line.task = g.task
    line.logprobs, line.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
    local v = line.code_sha and verdicts[g.task.id .. "/" .. line.code_sha]
    line.result = v or { status = "malformed", correct = false, speedup = 0, speedup_measured = 0, speedup_lo = 0,
      is_copy = false }
    samples[line.key] = line
    g[#g + 1] = line
  end)
  return groups
end

local function plain_path(path) return (path:gsub("^%./", "")) end

-- Folders with rollouts that a pattern names, those of runs below it too; not own_dir: a run is no input of itself.
local function dirs_of(pattern, own_dir)
  local out = {}
  for _, dir in ipairs(glob(pattern)) do
    for _, d in ipairs(core.exists(dir .. "/rollouts.jsonl") and { dir } or glob(dir .. "/*")) do
      d = plain_path(d)
      if core.exists(d .. "/rollouts.jsonl") and d ~= own_dir then out[#out + 1] = d end
    end
  end
  return out
end

-- What a pattern names, files and contents: a run that came in between, or went on, is another input.
local function rollouts_digest(pattern, own_dir)
  local rows = {}
  for i, dir in ipairs(dirs_of(pattern, own_dir)) do
    rows[i] = table.concat({ dir, core.file_digest(dir .. "/rollouts.jsonl") or "",
      core.file_digest(dir .. "/evals.jsonl") or "" }, "\0")
  end
  return core.sha256(table.concat(rows, "\n"))
end
inputs.declare("rollouts", "the recorded rollouts %s", rollouts_digest)

local function own_dir()
  local task = sched.current()
  return task and task.run and plain_path(task.run.dir) or nil
end

---vt.rollouts("runs/best_of_n/*") -> groups, in the order in which they were recorded.
function recorded.rollouts(pattern)
  local patterns = type(pattern) == "table" and pattern or { pattern }
  local out = {}
  for _, p in ipairs(patterns) do
    inputs.note("rollouts", p, rollouts_digest(p, own_dir()))
    for _, d in ipairs(dirs_of(p, own_dir())) do
      local found = groups_of(d)
      table.move(found, 1, #found, #out + 1, out)
    end
  end
  if #out == 0 then
    errors.raise("usage", "vt.rollouts", ("no recorded rollouts match %s"):format(table.concat(patterns, ", ")))
  end
  return out
end

return recorded
