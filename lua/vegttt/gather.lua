-- SPDX-License-Identifier: Apache-2.0
--
-- The samples of a script that works offline (vt.gather): those of recorded runs that --from names, else a draw of its
-- own. Of a run with several steps one is read.
--
-- Likelihoods of one model, or after one prompt, say nothing about those of another, speedups that were timed in one way
-- nothing about those timed in another: what differs in models, prompts, weights, temperatures or the way of judging is
-- refused before anything is computed from it. A sample that several runs hold, one that was cut off and the one that
-- finished its work, is counted once, where most of its group is.
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

-- What the values of one kind must be the same in: need(key, value, group) raises where a key has another already.
local function need_one(what)
  local first = {}
  return function(k, v, g)
    first[k] = first[k] or { v = v, run = g.run }
    if first[k].v ~= v then
      errors.raise("usage", "vt.gather", ("--from mixes %s: %s has %s, %s has %s; name runs of one"):format(what, first[k].run,
        tostring(first[k].v), g.run, tostring(v)))
    end
  end
end

-- Verdicts that can be compared: how each was come by. One of a sample without code was not timed.
local ways = { "protocol", "scale", "tier", "evaluator", "machine" }

local function check_samples(groups)
  local temperature, way, is_checked = need_one "temperatures", {}, {} -- many samples share a verdict
  for _, name in ipairs(ways) do way[name] = need_one(({ protocol = "protocols", scale = "scales", tier = "tiers",
    evaluator = "evaluators", machine = "machines" })[name] .. " of verdicts") end
  for _, g in ipairs(groups) do
    for _, s in ipairs(g) do
      local v = s.result
      if not v then
        errors.raise("usage", "vt.gather", ("--from: samples of %s have no verdict (the first: task %s, sample %d); let that run finish, or "
          .. "judge them: vegttt rejudge %s"):format(g.run, tostring(g.task.id), s.i, g.run))
      end
      temperature(1, s.temperature or "none", g)
      if not is_checked[v] then
        for _, name in ipairs(rawget(v, "key") and ways or {}) do way[name](1, v[name] or "none", g) end
        is_checked[v] = true
      end
    end
  end
end

local function check_one_source(groups)
  local model_of, models, shown, weights = {}, need_one "models", need_one "prompts of one task", need_one "weights of one task"
  for _, g in ipairs(groups) do
    if not model_of[g.run] then
      local p = run_files.params(g.run).model
      model_of[g.run] = p and tostring(p.value) or "an unknown model"
    end
    models(1, model_of[g.run], g)
  end
  for _, g in ipairs(groups) do -- runs of another model have other prompts, too
    shown(g.task.id, "prompt " .. (g.recorded.prompt_sha or core.sha256(core.json_encode(prompts.parts(g.prompt)))):sub(1, 8), g)
    weights(g.task.id, g.recorded.weights:sub(1, 12), g)
  end
  check_samples(groups)
end

-- Each sample once, which in one run it is: the largest group that holds it keeps it. How many were left out.
local function count_once(groups)
  local by_size, place, owner, n, n_runs = {}, {}, {}, 0, 0
  for i, g in ipairs(groups) do
    by_size[i], place[g] = g, i
    n_runs = n_runs + (i > 1 and groups[i - 1].run == g.run and 0 or 1)
  end
  if n_runs == 1 then return 0 end
  table.sort(by_size, function(a, b) return #a > #b or #a == #b and place[a] < place[b] end)
  for _, g in ipairs(by_size) do
    for i = #g, 1, -1 do
      local key = g[i].key
      if owner[key] then
        table.remove(g, i)
        n = n + 1
      end
      owner[key] = true
    end
  end
  for i = #groups, 1, -1 do
    if #groups[i] == 0 then table.remove(groups, i) end
  end
  return n
end

-- What recorded samples must have of what the script needs; details are scored anew.
local function check_needs(groups, needs)
  for _, g in ipairs(groups) do
    for _, s in ipairs(needs.logprobs and g or {}) do
      if not s.logprob then
        errors.raise("usage", "vt.gather", ("--from: samples of %s have no log-probabilities (the first: task %s, sample %d), which this "
          .. "experiment needs; their source gave none"):format(g.run, tostring(g.task.id), s.i))
      end
    end
  end
end

---vt.gather(p, …): the judged groups that p's from and step name, or a draw with p's model, tasks and k. What is named besides, in
---the words of policy:need, the script will need: what lacks it is refused before anything is drawn or computed. [waits]
function gather.groups(p, ...)
  if not closed.is_record(p) then
    errors.misuse("vt.gather", "vt.gather needs the experiment's parameters (vt.gather_params), not a %s", type(p))
  end
  if p.from == "" then return draw.groups(policy.open(p.model):need(...):start(), tasks.get(p), p) end
  local needs = {}
  for _, name in ipairs { ... } do needs[name] = true end
  local has_drawn, drawn = pcall(function() return p.drawn end) -- of vt.gather_params; a script's own table may lack it
  drawn = has_drawn and drawn or "first"
  local out = {}
  for _, g in ipairs(recorded.rollouts(p.from)) do
    local is_asked = drawn == "all" or (g.draw == "fresh") == (drawn == "fresh")
    if g.place == p.step and is_asked then out[#out + 1] = g end
  end
  if #out == 0 then errors.raise("usage", "vt.gather", ("no samples of step %d in %s"):format(p.step, p.from)) end
  check_one_source(out)
  check_needs(out, needs)
  local n = count_once(out)
  if n > 0 then
    core.err(("vegttt: --from: %d sample%s that several of these runs share %s counted once\n"):format(n, n == 1 and "" or "s",
      n == 1 and "is" or "are"))
  end
  return out
end

return gather
