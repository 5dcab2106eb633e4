-- SPDX-License-Identifier: Apache-2.0
--
-- From a C file to a sound task: the function is read (c_function.lua), what C does not say is asked for or taken from
-- the flags (user_task.lua), the function is run to see which arrays are inputs and what the inputs reach
-- (coverage.lua), and the task is put to the questions of every task (task_check.lua), until it holds: with the rule for
-- truth that every task has, else with the spread of runs; from size 1 on, else from the least size at which the
-- function itself is right.
local c_compiler = require "vegttt.c_compiler"
local c_function = require "vegttt.c_function"
local core = require "vegttt.core"
local coverage = require "vegttt.coverage"
local defined_ranges = require "vegttt.defined_ranges"
local errors = require "vegttt.errors"
local task_check = require "vegttt.task_check"
local tasks = require "vegttt.tasks"
local user_task = require "vegttt.user_task"
local verb = require "vegttt.verb_common"

local unit_task = {}

local max_bytes = 256 << 20 -- of all arrays; a call of 2 ms reads a quarter of that at most

-- What can be known to be wrong with a task before its file is written.
local function check_document(document, fn, f)
  local ok, task = pcall(tasks.from_table, document, f.file)
  if not ok then
    if not errors.is(task) or task.code ~= "EFORMAT" then error(task, 0) end
    errors.usage("%s", tostring(task))
  end
  local bytes = task_check.working_set(task)
  if bytes > max_bytes then
    errors.usage("the arrays of %s take %.0f MB at these sizes, more than a call of 0.03 to 2 ms can read; give smaller --size",
      fn.name, bytes / 1e6)
  end
  return task
end

-- Whether it failed at sizes that the function may not be meant for.
local function is_about_sizes(findings)
  for _, x in ipairs(findings) do
    if x[1] == "FAIL" and (x[3]:find("called with such sizes", 1, true) or x[3]:find("crashed on valid inputs", 1, true)) then
      return true
    end
  end
  return false
end

-- Sets the sizes that nobody gave, from `least` on, and not beyond the one that is timed where it fails there; false
-- when no size can be as small as that.
local function set_sizes(document, least, is_beyond, f)
  local given, is_possible = {}, least == 0
  for _, text in ipairs(f.range or {}) do given[text:match "^%s*([%a_][%w_]*)" or ""] = true end
  for name, range in pairs(document.range) do
    local timed = document.sizes.cpu[name]
    if not given[name] and range[1] ~= range[2] then
      if least <= timed then range[1], is_possible = least, true end
      if not is_beyond then range[2] = timed end
    end
  end
  return is_possible
end

-- Whether a size at which it failed is larger than the one that is timed.
local function has_failed_beyond(document, findings)
  for _, x in ipairs(findings) do
    for name, n in (x[1] == "FAIL" and x[3]:match "sizes ([^;]*)" or ""):gmatch "([%a_][%w_]*) = (%d+)" do
      if document.sizes.cpu[name] and tonumber(n) > document.sizes.cpu[name] then return true end
    end
  end
  return false
end

-- Whether it failed in a way that the other kind of truth may mend.
local function is_outside_the_subset(findings)
  for _, x in ipairs(findings) do
    if x[1] == "FAIL" and (x[2] == "references" or x[2] == "error / bound" or x[2] == "baseline") then return true end
  end
  return false
end

local function check(task, fn)
  local findings = verb.wait(function() return task_check.run(task, {}) end)
  return findings.sound, findings, function()
    verb.say("%s", task_check.text(findings))
    if findings.sound then return end
    verb.say("not sound: %s", task_check.failures(findings))
    if findings.is_stale_accepted then
      verb.say("If %s reads an array that it also writes, say so: --inout NAME", fn.name)
    elseif findings.has_crashed then
      verb.say("The shapes must hold whatever %s reads; an index needs its --range in terms of sizes, like 0:m", fn.name)
    end
  end
end

-- Takes what was answered as if it had been given, so that nothing is asked twice.
local function keep_answers(f, answered)
  for i = 1, #answered, 2 do
    local flag = answered[i]:sub(3)
    f[flag] = f[flag] or {}
    table.insert(f[flag], answered[i + 1])
  end
end

-- The task's document, and what running the function showed. The first document asks for shapes and sizes, so that
-- the function can be run; the second knows which arrays are inputs.
local function make_document(fn, f, text)
  local _, answered = user_task.document(fn, f)
  keep_answers(f, answered)
  local function draft(limits, sizes)
    local document = user_task.document(fn, f, nil, limits)
    for name, range in pairs(document.range) do
      local timed = document.sizes.cpu[name]
      if sizes then document.range[name] = { sizes == "timed" and timed or math.max(range[1], 1), timed } end
    end
    return document, check_document(document, fn, f)
  end
  -- Which sizes it stands is found out later (unit_task.checked); what it does is seen at those that it stands.
  local limits, reason = defined_ranges.find(fn, text, function(l) return draft(l, "timed") end)
  local seen
  for _, sizes in ipairs { false, "from 1", "timed" } do
    local document, task = draft(limits, sizes)
    seen = coverage.observe(fn, document, task, text)
    if not seen.has_crashed then break end
  end
  local document, more
  document, more, seen.fixed = user_task.document(fn, f, seen.roles, limits)
  seen.limits, seen.narrowed = limits, reason
  return document, table.move(more, 1, #more, #answered + 1, answered), seen
end

local least_sizes = { 0, 1, 2, 3, 4, 8, 16, 64 }

-- Whether single numbers are drawn; at their given values alone the function may be sound.
local function draws_numbers(document)
  for _, a in ipairs(document.arrays) do
    if a.name:find "_drawn$" and a.value then return true end
  end
  return false
end

---[waits] The task as the function allows it, written to a file, and its document; nil when it makes none. What was found
---is said. seen: of unit_task.read.
function unit_task.checked(document, fn, f, task_file, seen)
  local text
  local function try(truth, least, is_beyond)
    document.unit.truth = truth
    if not set_sizes(document, least, is_beyond, f) then return nil, {} end
    core.write(task_file, user_task.source(document))
    local task = tasks.get({ file = task_file })[1]
    local is_sound, findings, show = check(task, fn)
    if not text or is_sound or not is_outside_the_subset(findings) then text = show end
    return is_sound and task, findings
  end
  -- The widest sizes: the task or nil, and what was found there.
  local function try_sizes(truth)
    local found, findings
    for _, is_beyond in ipairs { true, false } do
      for _, least in ipairs(least_sizes) do
        found, findings = try(truth, least, is_beyond)
        if found or not is_about_sizes(findings) then return found, findings end
        if is_beyond and has_failed_beyond(document, findings) then break end
      end
    end
    return found, findings
  end
  local function try_truths()
    local found, findings
    for _, truth in ipairs(document.unit.truth == "text" and { "text", "spread" } or { "spread" }) do
      found, findings = try_sizes(truth)
      if found or not is_outside_the_subset(findings) then break end
    end
    return found
  end
  local found = try_truths()
  if not found and draws_numbers(document) then
    local limits, _ = { floats = seen.limits.floats, bits = seen.limits.bits, is_fixed = true }, nil
    document, _, seen.fixed = user_task.document(fn, f, seen.roles, limits)
    found = try_truths()
  end
  verb.say("%s as a task (%s)", fn.name, task_file)
  text()
  return found, document
end

---The document with another set of compiler options, as a task.
function unit_task.compiled_with(document, cflags)
  local copy, unit = {}, {}
  for k, v in pairs(document) do copy[k] = v end
  for k, v in pairs(document.unit) do unit[k] = v end
  unit.cflags, copy.unit = user_task.flags(cflags, cflags), unit
  return tasks.from_table(copy, "the task")
end

---What becomes of a file's text: the function, its document, the options that would have answered what was asked, and
---what running the function showed. f: the options of `vegttt optimise`, with .file.
function unit_task.read(f, text)
  local fn = c_function.read(text, f["function"], f.file, c_compiler.words(f.cflags))
  local document, answered, seen = make_document(fn, f, text)
  check_document(document, fn, f)
  local is_known, problem = pcall(unit_task.compiled_with, document, fn.cflags)
  if not is_known then errors.usage("--cflags: %s", tostring(problem)) end
  return fn, document, answered, seen
end

return unit_task
