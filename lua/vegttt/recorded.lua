-- SPDX-License-Identifier: Apache-2.0
--
-- Reading recorded runs back: weights by reference and groups of rollouts with their verdicts, for offline work.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
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

-- { id, step } of a snapshot, or nil.
local function snapshot_of(dir, name)
  local found
  if not core.exists(dir .. "/journal.jsonl") then return nil end
  core.read_lines(dir .. "/journal.jsonl", function(line)
    if line.key == "snapshot/" .. name then found = line.value end
  end)
  return found
end

-- The spec of the model that the run used, and the same without an adapter.
local function model_of(dir)
  local p = core.json_decode(core.read(dir .. "/params.json"), "params.json")
  local model = p.model and p.model.value or "default"
  return model, model == "default" and "smollm2-135m" or model:match "^[^+]+"
end

-- The state of a snapshot: the run's own, or what the run began with.
local function recorded_weights(dir, name)
  local snapshot = snapshot_of(dir, name)
  local path = snapshot and dir .. "/ckpt/" .. snapshot.id
  local spec, base = model_of(dir)
  if path and core.exists(path) then return policy.open(base .. "+" .. path):start() end
  local start = snapshot and snapshot.step == 0 and policy.open(spec):start()
  if start and start.id == snapshot.id then return start end
  errors.raise("usage", "vt.weights", snapshot and ("the weights of snapshot '%s' are not kept in %s"):format(name, dir)
    or ("there is no snapshot '%s' in %s"):format(name, dir))
end

---vt.weights("RUN@SNAPSHOT"), RUN as `vegttt show` takes it, or vt.weights("FOLDER of an adapter", { model = SPEC })
function recorded.weights(ref, o)
  o = errors.options("vt.weights", o, { model = "string" })
  if type(ref) ~= "string" then
    errors.misuse("vt.weights", "vt.weights needs \"RUN@SNAPSHOT\" or an adapter folder")
  end
  local dir, name = ref:match "^(.*)@(.+)$"
  if dir then return recorded_weights(run_files.find(dir), name) end
  if not core.exists(ref .. "/adapter_config.json") then
    errors.raise("usage", "vt.weights", ("%s is no adapter folder"):format(ref))
  end
  return policy.open((o.model or "smollm2-135m") .. "+" .. ref):start()
end

local function groups_of(dir)
  local groups, by, task_of = {}, {}, run_files.tasks_of(dir)
  for _, line in ipairs(run_files.samples(dir)) do
    local name = ("%s/%s/%s"):format(line.task, line.weights, line.draw)
    local g = by[name]
    if not g then
      g = setmetatable({ task = task_of(line.task), draw = line.draw, step = line.step, run = dir }, policy.Group)
      by[name] = g
      groups[#groups + 1] = g
    end
    line.task, line.result = g.task, eval.of_record(line.result, g.task)
    line.logprobs, line.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
    g[#g + 1] = setmetatable(line, policy.Sample)
  end
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
