-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt task`: the tasks there are, one of them in detail, and whether one is sound. `vegttt new task` writes a file to
-- start from.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local task_check = require "vegttt.task_check"
local tasks = require "vegttt.tasks"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local task_verb = {}

local help = [[
vegttt task ls                          every task that comes with vegttt
vegttt task show ID|NAME|FILE.lua       sizes, inputs, costs and the prompt that a model sees
vegttt task show ID|NAME|FILE.lua --tier cuda   the CUDA kernels that stand for it on a GPU, with their launch plan
vegttt task check ID|NAME|FILE.lua      is it sound? exit code 0 yes, 1 no]]

local scales = { "cpu", "hidden", "search", "full" }

-- ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function shape_text(a)
  return ("%s %s[%s]"):format(a.dtype, a.name, table.concat(a.shape, "]["):gsub("%.0", ""))
end

local function show_scale(task, scale)
  local l = core.task_layout(task.handle, scale)
  if not l then return end
  local inputs, outputs = {}, {}
  for _, a in ipairs(l.arrays) do
    table.insert((a.role == "out" or a.role == "state") and outputs or inputs, shape_text(a))
  end
  verb.say("  %-8s %s -> %s; at least %s and %.3g operations", scale, table.concat(inputs, ", "),
    table.concat(outputs, ", "),
    text.bytes(l.bytes), l.flops)
end

local function show_prompt(task)
  local p, n = task:prompt(), task_check.prompt_tokens(task)
  verb.say("\nprompt, %s", n and ("%d tokens for the default model"):format(n)
    or "tokens uncounted: the default model is not here")
  for _, m in ipairs(p:messages {}) do verb.say("[%s]\n%s", m.role, m.content) end
  core.out(("[assistant]\n%s"):format(p.prefix))
end

local function show(what, f)
  local task = verb.task(what)
  if task.tier then -- a problem file: its text is all that is known of it
    verb.say("task %d %s, level %d, %s, judged by --tier %s", task.id, task.name, task.level, task.digest:sub(1, 12), task.tier)
    show_prompt(task)
    return 0
  end
  if f.tier and f.tier ~= core.eval_tiers()[1] then
    verb.say("%s", core.prompt(task.handle, nil, f.tier))
    return 0
  end
  local l = core.task_layout(task.handle, "cpu")
  verb.say("task %d %s, family %s, %s", task.id, task.name, task.family, task.digest:sub(1, 12))
  verb.say "\nsizes"
  for _, scale in ipairs(scales) do show_scale(task, scale) end
  verb.say "\ninputs are drawn from"
  for _, d in ipairs(l.dists) do verb.say("  %s", d) end
  local exact = {}
  for _, a in ipairs(l.arrays) do
    if (a.role == "out" or a.role == "state") and a.compare ~= "bound" then
      exact[#exact + 1] = ("%s %s"):format(a.name, a.compare)
    end
  end
  verb.say("\nbound: %g u sqrt(r)%s%s%s", l.k, l.rtol > 0 and (" + %g |v|"):format(l.rtol) or "",
    (l.atol > 0 and (" + %g max|v of the row|"):format(l.atol) or "")
      .. (task.family == "convolution" and ", at least 4 u sum(max|x around the window| |weights|)" or ""), #exact > 0 and "; " .. table.concat(exact, ", ")
      or "")
  show_prompt(task)
  return 0
end

local function ls()
  local by_id = tasks.shipped(1)
  for _, id in ipairs(errors.keys(by_id)) do
    local t = tasks.get({ ids = { id } })[1]
    verb.say("%4d  %-34s %s", id, t.name, t.family)
  end
  return 0
end

-- ── check ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function check(what, f)
  local task = verb.task(what)
  if task.tier then errors.usage("%s is a KernelBench problem file: it is taken as it is", what) end
  verb.say("task %d %s", task.id, task.name)
  local findings = verb.wait(function() return task_check.run(task, { full = f.full }) end)
  verb.say("%s", task_check.text(findings))
  verb.say("%s", findings.sound and "sound" or "not sound: " .. task_check.failures(findings))
  return findings.sound and 0 or 1
end

local function run(f, rest)
  local what, argument = rest[1], rest[2]
  local action = ({ ls = ls, show = show, check = check })[what]
  if not action then
    errors.usage("%s", what and ("task cannot '%s'; it can ls, show and check"):format(what)
      or "task needs ls, show or check; see `vegttt task --help`")
  end
  local surplus = rest[what == "ls" and 2 or 3]
  if surplus then errors.usage("task %s: '%s' is a word too many; see `vegttt task --help`", what, surplus) end
  if what ~= "ls" and not argument then
    errors.usage("task %s takes one %s", what, "task: an id, a name or a .lua file")
  end
  return action(argument, f)
end

function task_verb.main(argv)
  return verb.main(argv, { help = help, run = run, doing = function(_, rest) return "task " .. (rest[1] or "") end,
    options = { verb.with({ "tier", table.concat(core.eval_tiers(), "|"), "what it is shown for (default: c)",
      choices = core.eval_tiers() }, "task show"),
      verb.with({ "full", nil, "check with the full protocol, and anew" }, "task check"),
      verb.with(verb.unsafe_jail_option, "task check") } })
end

return task_verb
