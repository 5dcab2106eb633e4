-- SPDX-License-Identifier: Apache-2.0
--
-- The surface: what `require "vegttt"` gives to scripts. One table, made of the groups that the other files define; each
-- entry is described in lua/meta/vegttt.lua, and a test compares the two.
local advantage = require "vegttt.advantage"
local archive = require "vegttt.archive"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local distil = require "vegttt.distil"
local draw = require "vegttt.draw"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
local experiment = require "vegttt.experiment"
local gather = require "vegttt.gather"
local groups = require "vegttt.groups"
local learner = require "vegttt.learner"
local list = require "vegttt.list"
local params = require "vegttt.params"
local policy = require "vegttt.policy"
local prompts = require "vegttt.prompts"
local recorded = require "vegttt.recorded"
local reward = require "vegttt.reward"
local sched = require "vegttt.sched"
local scores = require "vegttt.scores"
local select_ = require "vegttt.select"
local stats = require "vegttt.stats"
local step_stats = require "vegttt.step_stats"
local tasks = require "vegttt.tasks"
local update = require "vegttt.update"
require "vegttt.policy_score"
require "vegttt.run_statistics"
require "vegttt.sweep"

-- What is wrong with what a script was asked for, in one sentence to whoever asked: exit code 2, no stack.
local function refuse(format, ...)
  if type(format) ~= "string" then errors.misuse("vt.refuse", "vt.refuse needs a sentence, not a %s", type(format)) end
  errors.usage(format, ...)
end

local vt = {
  experiment = experiment.new, params = params.common, task_params = params.of_tasks, adapt_params = params.of_updates,
  gather_params = params.of_records, gather = gather.groups,
  load = experiment.load, refuse = refuse,
  tasks = tasks.get, task = tasks.of, context = prompts.context,
  policy = policy.open, weights = recorded.weights, rollouts = recorded.rollouts, runs = recorded.runs,
  sampling = draw.sampling, draw = draw.groups, prompt = draw.prompt, distil = distil, scores = scores.of, kl = scores.kl, detail = scores.detail,
  eval = closed.names("vt.eval", { all = eval.all, one = eval.one, best = eval.best }),
  reward = closed.names("vt.reward", reward), advantage = closed.names("vt.advantage", advantage),
  batch = update.batch, code_of = groups.code_of, codes = groups.codes, is_given = params.is_given, learner = learner.new, step_stats = step_stats,
  select = closed.names("vt.select", { apply = select_.apply, each = select_.each, curves = select_.curves, check = select_.check,
    load = select_.load,
    order = select_.order,
    rules = closed.names("vt.select.rules", select_.rules) }),
  early_stop = select_.early_stop, archive = archive.new,
  map = sched.map, each = sched.each, all = sched.all, race = sched.race,
  spawn = function(fn) return sched.spawn(fn) end,
  timeout = sched.timeout,
  stats = closed.names("vt.stats", stats),
  json = closed.names("vt.json", {
    encode = function(v) return core.json_encode(v) end,
    decode = function(text) return core.json_decode(text, "the JSON text") end,
  }),
}
for name, fn in pairs(list) do vt[name] = fn end

-- What a function does not check itself is said at the caller's line, not at the engine's.
local function at_the_surface(t)
  for name, v in pairs(t) do
    if type(v) == "function" then t[name] = errors.surface(v) end
  end
end
at_the_surface(vt)
for _, group in ipairs { "reward", "advantage" } do -- factories: so are the functions that they return
  for name, make in pairs(vt[group]) do
    vt[group][name] = function(...) return errors.surface(make(...)) end
  end
end
for _, group in ipairs { "eval", "reward", "advantage", "select", "stats", "json" } do at_the_surface(vt[group]) end
for _, class in ipairs(closed.classes) do at_the_surface(class.methods) end

return closed.names("vt", vt)
