-- SPDX-License-Identifier: Apache-2.0
--
-- Donors: the recorded runs from which a new run takes what it has in common with them, so that it pays only for what is
-- new. A result is taken by its own key, which names everything that produced it; which run it was made in is no part.
--
-- Runs of the same family (the same parameters but for those that may grow, and any inputs) give samples, updates with
-- their states, scores and verdicts. Other runs of the experiment on this machine class, the cells of a sweep among them,
-- give verdicts. A verdict that is taken keeps the run whose clock measured it (timed_in). A run made with --fresh has no
-- donors, an independent repetition no verdicts of others.
local core = require "vegttt.core"

local Donors = {}
Donors.__index = Donors

local donors = {}
local max_family, max_others = 16, 64 -- the newest: files of more are not worth reading

---known: of core.run_list. is_family(entry): closely related, else only verdicts are taken.
function donors.new(known, own_dir, is_family, takes_verdicts)
  local d = setmetatable({ family = {}, all = {}, takes_verdicts = takes_verdicts, files = {} }, Donors)
  for _, entry in ipairs(known) do
    if entry.dir ~= own_dir then
      if is_family(entry) and #d.family < max_family then d.family[#d.family + 1] = entry.dir end
      if #d.all < max_others then d.all[#d.all + 1] = entry.dir end
    end
  end
  return d
end

---None.
function donors.none() return setmetatable({ family = {}, all = {}, files = {} }, Donors) end

-- key -> value of a file of a run, read when it is first asked for. A file that is cut or damaged gives what is whole.
local function index_of(self, dir, name, add)
  local path = dir .. "/" .. name
  if not self.files[path] then
    local index = {}
    self.files[path] = index
    pcall(core.read_lines, path, function(line) add(index, line) end)
  end
  return self.files[path]
end

local function find(self, dirs, name, add, key)
  for _, dir in ipairs(dirs) do
    local value = index_of(self, dir, name, add)[key]
    if value ~= nil then return value, dir end
  end
end

local function add_sample(index, line)
  if line.tokens then index[line.key] = line end
end

local function add_line(index, line) index[line.key] = line end

local function add_value(index, line) index[line.key] = line.value end

---The line of a sample, with its vectors.
function Donors:sample(key)
  local line = find(self, self.family, "rollouts.jsonl", add_sample, key)
  if not line then return nil end
  local out = {}
  for k, v in pairs(line) do out[k] = v end
  out.logprobs, out.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
  return out
end

---The line of a verdict and the run it stands in.
function Donors:verdict(key)
  if not self.takes_verdicts then return nil end
  local line, dir = find(self, self.all, "evals.jsonl", add_line, key)
  if not line then return nil end
  local out = {}
  for k, v in pairs(line) do out[k] = v end
  out.timed_in = line.timed_in or dir
  return out, dir
end

---The value of a journal's entry.
function Donors:value(key) return (find(self, self.family, "journal.jsonl", add_value, key)) end

---Folders that may hold the state of weights.
function Donors:checkpoints(id)
  local out = {}
  for _, dir in ipairs(self.family) do
    if core.is_dir(dir .. "/ckpt/" .. id) then out[#out + 1] = dir .. "/ckpt/" .. id end
  end
  return out
end

return donors
