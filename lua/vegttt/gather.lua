-- SPDX-License-Identifier: Apache-2.0
--
-- The samples of a script that works offline (vt.gather): those of recorded runs that --from names, else a draw of its
-- own. Of a run with several steps one is read.
--
-- Likelihoods of one model, or after one prompt, say nothing about those of another: samples whose runs had other models,
-- or that read other prompts for the same task, are refused before anything is computed from them.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local draw = require "vegttt.draw"
local errors = require "vegttt.errors"
local policy = require "vegttt.policy"
local prompts = require "vegttt.prompts"
local recorded = require "vegttt.recorded"
local run_files = require "vegttt.run_files"
local tasks = require "vegttt.tasks"

local gather = {}

-- Raises unless value(group) is the same for all groups of a key.
local function need_one(groups, what, key, value)
  local first = {}
  for _, g in ipairs(groups) do
    local k, v = key(g), value(g)
    first[k] = first[k] or { v = v, run = g.run }
    if first[k].v ~= v then
      errors.raise("usage", "vt.gather", ("--from mixes %s: %s has %s, %s has %s; name runs of one"):format(what, first[k].run,
        first[k].v, g.run, v))
    end
  end
end

local function check_one_source(groups)
  local model_of = {}
  need_one(groups, "models", function() return 1 end, function(g)
    local dir = g.run
    if not model_of[dir] then
      local p = run_files.params(dir).model
      model_of[dir] = p and tostring(p.value) or "an unknown model"
    end
    return model_of[dir]
  end)
  need_one(groups, "prompts of one task", function(g) return g.task.id end, function(g)
    return "prompt " .. core.sha256(core.json_encode(prompts.parts(g.prompt))):sub(1, 8)
  end)
end

---vt.gather(p): the judged groups that p's from and step name, or a draw with p's model, tasks and k. [waits]
function gather.groups(p)
  if not closed.is_record(p) then
    errors.misuse("vt.gather", "vt.gather needs the experiment's parameters (vt.gather_params), not a %s", type(p))
  end
  if p.from == "" then return draw.groups(policy.open(p.model):start(), tasks.get(p), p) end
  local out = {}
  for _, g in ipairs(recorded.rollouts(p.from)) do
    if g.place == p.step then out[#out + 1] = g end
  end
  if #out == 0 then errors.raise("usage", "vt.gather", ("no samples of step %d in %s"):format(p.step, p.from)) end
  check_one_source(out)
  return out
end

return gather
