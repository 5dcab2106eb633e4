-- SPDX-License-Identifier: Apache-2.0
--
-- The surface: what `require "vegttt"` gives to scripts. One table, made of the groups that the other files define; each
-- entry is described in lua/meta/vegttt.lua, and a test compares the two.
local advantage = require "vegttt.advantage"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
local experiment = require "vegttt.experiment"
local list = require "vegttt.list"
local params = require "vegttt.params"
local policy = require "vegttt.policy"
local prompts = require "vegttt.prompts"
local recorded = require "vegttt.recorded"
local reward = require "vegttt.reward"
local sched = require "vegttt.sched"
local select_ = require "vegttt.select"
local stats = require "vegttt.stats"
local tasks = require "vegttt.tasks"
local update = require "vegttt.update"

-- Reading a name that does not exist is misuse with a suggestion.
local function closed(name, t)
  return setmetatable(t, { __index = function(_, k)
    errors.misuse(name, "%s has no '%s'%s", name, tostring(k), errors.hint(tostring(k), errors.keys(t)))
  end })
end

local vt = {
  experiment = experiment.new, params = params.common, load = experiment.load,
  tasks = tasks.get, context = prompts.context,
  policy = policy.open, weights = recorded.weights, rollouts = recorded.rollouts,
  eval = closed("vt.eval", { all = eval.all, one = eval.one, best = eval.best }),
  reward = closed("vt.reward", reward), advantage = closed("vt.advantage", advantage), batch = update.batch,
  select = closed("vt.select", { apply = select_.apply, rules = select_.rules }), early_stop = select_.early_stop,
  map = sched.map, each = sched.each, all = sched.all, race = sched.race,
    spawn = function(fn) return sched.spawn(fn) end,
  timeout = sched.timeout,
  stats = closed("vt.stats", stats),
  json = closed("vt.json", {
    encode = function(v) return core.json_encode(v) end,
    decode = function(text) return core.json_decode(text, "the JSON text") end,
  }),
}
for name, fn in pairs(list) do vt[name] = fn end

return closed("vt", vt)
