-- SPDX-License-Identifier: Apache-2.0
--
-- From parameters to judged groups: the sampling options that an experiment's parameters hold (vt.sampling), samples of
-- a list of tasks with their verdicts (vt.draw), and the table of the best kernels among them (run:kernels).
--
-- Tasks are drawn concurrently, and a sample is judged as soon as it has ended, so that building and timing one answer
-- overlaps the writing of the others.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
local inputs = require "vegttt.inputs"
local params = require "vegttt.params"
local policy = require "vegttt.policy"
local prompts = require "vegttt.prompts"
local run = require "vegttt.run"
local sched = require "vegttt.sched"

local draw = {}

local options_of = { n = "k", temperature = "temperature", max_tokens = "max_tokens", top_p = "top_p", top_k = "top_k",
  min_p = "min_p", stop = "stop", prefix = "prefix" }

---vt.sampling(p, o): the options of weights:sample that parameters hold, with those of o over them.
function draw.sampling(p, o)
  if not closed.is_record(p) then
    errors.misuse("vt.sampling", "vt.sampling needs the experiment's parameters, the p of main, not a %s", type(p))
  end
  local out = {}
  for option, name in pairs(options_of) do out[option] = params.given(p, name) end -- another model has its own record
  for k, v in pairs(errors.options("vt.sampling", o, policy.sample_options)) do out[k] = v end
  return out
end

-- How parameters of vt.task_params show a task.
local function shown_by(p)
  local file, system, shots = closed.optional(p, "prompt") or "", closed.optional(p, "system") or "", closed.optional(p, "shots") or 0
  local template, reasoning = nil, closed.optional(p, "reasoning") or ""
  if file ~= "" then
    local path = inputs.find(file)
    if not core.exists(path) then errors.raise("usage", "vt.draw", ("there is no prompt file %s"):format(file)) end
    template = core.read(path)
  end
  return function(task)
    local prompt = task:prompt { template = template, system = system ~= "" and system or nil, shots = shots,
      reasoning = reasoning ~= "" and reasoning or nil }
    if closed.optional(p, "free_form") then prompt.prefix = "" end
    return prompt
  end
end

---vt.prompt(task, p): the task as p's prompt, system, reasoning, shots and free_form show it.
function draw.prompt(task, p)
  if not closed.is_record(p) then
    errors.misuse("vt.prompt", "vt.prompt needs a task and the experiment's parameters, not a %s", type(p))
  end
  return shown_by(p)(task)
end

local draw_options = { prompt = "function", protocol = { "fast", "full" }, fresh = "boolean" }
for name, kind in pairs(policy.sample_options) do draw_options[name] = kind end

-- The options of sampling and of judging, and the function that shows a task.
local function split_options(p, o)
  local sampling, judging = {}, { protocol = closed.optional(p, "eval") }
  for k, v in pairs(o) do
    if policy.sample_options[k] then sampling[k] = v end
  end
  judging.protocol, judging.fresh = o.protocol or judging.protocol, o.fresh
  return draw.sampling(p, sampling), judging, o.prompt or shown_by(p)
end

local function draw_one(weights, prompt, sampling, judging)
  local ended, group = {}, nil
  for i = 1, sampling.n or 0 do ended[i] = sched.future() end
  sched.all {
    function() group = policy.stream(weights, prompt, sampling, function(s) ended[s.i]:settle(true, s) end) end,
    function()
      sched.map(ended, function(one) eval.all({ sched.await(one, "vt.draw") }, judging) end)
    end,
  }
  return group
end

---vt.draw(weights, tasks, p, o) -> a group of judged samples per task, in the order of the tasks.
function draw.groups(weights, tasks, p, o)
  sched.need "vt.draw"
  if not policy.is_weights(weights) then
    errors.misuse("vt.draw", "vt.draw needs weights (policy:start()), not a %s", type(weights))
  end
  if type(tasks) ~= "table" then errors.misuse("vt.draw", "vt.draw needs a list of tasks, not a %s", type(tasks)) end
  local sampling, judging, show = split_options(p, errors.options("vt.draw", o, draw_options))
  local problem = sampling.n and core.limit_problem("n", sampling.n)
  if problem then errors.misuse("vt.draw", "vt.draw: %s", problem) end
  return sched.map(tasks, function(task)
    local prompt = show(task)
    if not prompts.is(prompt) then
      errors.misuse("vt.draw", "vt.draw: prompt must return a vt.Prompt, not a %s", type(prompt))
    end
    return draw_one(weights, prompt, sampling, judging)
  end)
end

---run:kernels(groups, o): judges the best kernels again (vt.eval.best) and writes them as the table "kernels"; returns
---what vt.eval.best does. o.steps: also the step that each comes from.
function run.class:kernels(groups, o)
  o = errors.options("run:kernels", o, { steps = "boolean" })
  self:stage "judging the best again"
  local columns = { "task", "name", "speedup", "lo", "hi", "first", "tried" }
  if o.steps then table.insert(columns, 3, "step") end
  local out, best = self:table("kernels", columns), eval.best(groups)
  for _, b in ipairs(best) do
    local v, first = b.verdict, b.first
    local cells = { task = b.task.id, name = b.task.name, step = b.sample and b.sample.place,
      speedup = v and v.speedup, lo = v and v.speedup_lo, hi = v and v.speedup_hi, first = first and first.speedup,
      tried = b.n_tried }
    local row = {}
    for i, column in ipairs(columns) do row[i] = cells[column] end
    out:row(table.unpack(row, 1, #columns))
  end
  return best
end

return draw
