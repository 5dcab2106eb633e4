-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt optimise FILE.c --function f`: a task made of the user's own function in its own file, best_of_n or boa run on
-- it, and the fastest kernel in the function's place, its diff and its verdict. What a task must know and C does not say
-- (shapes, ranges, sizes) is asked for on a terminal; elsewhere the missing flag is named. What of the function the drawn
-- inputs never reach is shown before the search and named in the result.
--
-- Nothing is written unless a kernel was found that is faster for sure when it is judged again, full protocol, new
-- inputs, a fresh process, twice: as the search compiles, and as the user does (--cflags). The second is the result:
-- the file that is written is the text that was compiled and tested for it, and the speedup is the one measured so.
local attempt = require "vegttt.attempt"
local best = require "vegttt.best"
local c_function = require "vegttt.c_function"
local core = require "vegttt.core"
local diff = require "vegttt.diff"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local kernels = require "vegttt.kernels"
local params = require "vegttt.params"
local session = require "vegttt.session"
local stats = require "vegttt.stats"
local tested_on = require "vegttt.tested_on"
local unit_task = require "vegttt.unit_task"
local user_task = require "vegttt.user_task"
local verb = require "vegttt.verb_common"
local written_file = require "vegttt.written_file"

local optimise = {}

local help = "vegttt optimise FILE.c --function f   look for a faster version of a function of numbers and arrays"

local options = {
  { "function", "NAME", "the function to make faster" },
  { "shape", "x=n,m", "shape of an array in terms of the integer parameters, like n+2,m (one option an array)",
    repeats = true },
  { "size", "n=4096", "size at which it is timed; the function should take 0.03 to 2 ms there; lda=n+8 follows from n",
    repeats = true },
  { "range", "x=-1:1", "values of an input, both ends included. Where it is not said: every value of an integer's type and "
    .. "floats of any size, or as wide as the function is defined. An index into m rows is 0:m, which stops before m. Of a "
    .. "size: what it may be, 0 to half as much again as is timed. Of a single number: it is drawn from there",
    repeats = true },
  { "value", "eps=1e-5", "value of a float, a double, a bool, or of an integer that is no size, at which it is timed; floats "
    .. "are tested from half of it to twice, bools either way, integers there and nowhere else", repeats = true },
  { "inout", "y", "this array is read as well as written (found out by running the function; this makes it sure)",
    repeats = true },
  { "cflags", "OPTIONS", "how you compile the file; the result is compiled, tested and timed so", default = "-O2" },
  { "tolerance", "R", "relative difference allowed beyond float rounding; about 3e-5 allows a fast exp or tanh",
    kind = "number", min = 0, max = 0.01, default = 0.0 },
  { "script", "best_of_n|boa", "how to search", choices = { "best_of_n", "boa" }, default = "best_of_n" },
  { "k", "N", "samples (a step, for boa)", default = "32" },
  { "steps", "N", "steps of boa" },
  { "model", "SPEC", "model", default = "default" },
  { "seed", "N", "run seed", default = "42" },
  { "out", "DIR", "where f.c, f.diff, f.json and f.task.lua go", default = "optimised" },
  verb.unsafe_jail_option,
}

-- ── the search ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- The script and its parameters: the task file is what it works on. -> experiment, values, origins
local function prepare(task_file, f)
  local file = core.find(("experiments/%s.lua"):format(f.script))
    or errors.usage("experiments/%s.lua is not beside vegttt", f.script)
  globals.install()
  local e = experiment.load(file)
  if f.steps and not e.params.steps then errors.usage("%s has no steps; --script boa has", f.script) end
  local given = { k = f.k, model = f.model, seed = f.seed, steps = f.steps, tasks = task_file }
  if e.params.redraw then given.redraw = false end -- wanted is the kernel, not what a step is worth
  return e, params.resolve(e.params, given, "flag")
end

-- Runs the script; the run's folder.
local function search(argv, e, values, origins)
  local r = attempt.open(e, values, origins, { argv = argv })
  if r:stored_summary() then
    r:close()
    return r.dir
  end
  local status, result = attempt.carry_out(r, verb.command(argv))
  if status == "failed" then error(result, 0) end
  if status == "interrupted" then
    errors.raise("cancelled", "optimise", ("interrupted; everything recorded is in %s; continue with: %s"):format(r.dir,
      verb.command(argv)), { code = "ECANCELLED" })
  end
  return r.dir
end

-- ── the result ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- The task's kernels in the run; the one that fits and holds when judged again, or nil and why the fastest does not fit.
local function best_of(task, fn, dir)
  for _, t in ipairs(kernels.of(dir)) do
    if t.task == task.id then return t, kernels.confirmed(t, task, fn.cflags) end
  end
  return { n_samples = 0, n_correct = 0 }
end

-- The verdict under the user's options, or under those and what the kernel needs: { verdict, task, needed } or nil and
-- what became of it.
local function as_compiled_by_the_user(document, fn, k)
  local ends = {}
  for _, set in ipairs(written_file.flag_sets(fn.cflags, k.code_in_file)) do
    local task = unit_task.compiled_with(document, set.cflags)
    local v = verb.wait(function() return verb.judge(task, k.code_in_file, { protocol = "full", fresh = true }) end)
    v.json = nil
    if stats.is_sure(v, best.min_speedup) then
      return { verdict = v, task = task, needed = set.needed, cflags = set.cflags }
    end
    ends[#ends + 1] = ("with %s: %s"):format(#set.cflags > 0 and table.concat(set.cflags, " ") or "no options", v.correct
      and ("%.2fx, 95 %% interval %.2f to %.2f"):format(v.speedup, v.speedup_lo, v.speedup_hi) or v.feedback or v.status)
  end
  return nil, ends
end

local function unreached_text(seen)
  local lines = {}
  for _, u in ipairs(seen.unreached or {}) do
    lines[#lines + 1] = ("line %d, %s: %s"):format(u.line, u.kind, u.text)
  end
  return lines
end

-- What the kernel asks of those who use the file.
local function needs_of(k)
  local targets, out = written_file.targets(k.code), {}
  if targets then out[1] = ("needs a processor with %s, whatever the options"):format(targets) end
  if #k.kept > 0 then
    out[#out + 1] = ("keeps memory of its own (%s): two threads must not call it at once"):format(table.concat(k.kept, ", "))
  end
  return out
end

-- What the file says above the user's text.
local function comment_of(held, k, origin, seen)
  local notes = { ("compiled and timed with: %s"):format(table.concat(held.cflags, " ")) }
  if #held.needed > 0 then notes[#notes + 1] = "needs these compiler options: " .. table.concat(held.needed, " ") end
  for _, need in ipairs(needs_of(k)) do notes[#notes + 1] = need end
  notes[#notes + 1] = "its arrays must not overlap"
  if held.verdict.unit and held.verdict.unit.truth == "spread" then
    notes[#notes + 1] = "the bound is the spread of eight runs of the original: inputs off by their last bit, other rounding"
  end
  notes[#notes + 1] = "tested for these, and for nothing else:"
  for _, line in ipairs(held.tested_on) do notes[#notes + 1] = "  " .. line end
  local missed = unreached_text(seen)
  if not seen.unreached then
    notes[#notes + 1] = "which lines the inputs of the test reach is not known"
  elseif #missed > 0 then
    notes[#notes + 1] = "NOT tested, because no input of the test went there in the original:"
    for _, line in ipairs(missed) do notes[#notes + 1] = "  " .. line end
  end
  return kernels.comment(held.task, held.verdict, k.result, origin, notes)
end

local function write_result(f, fn, text, held, k, dir, seen)
  local origin = { run = dir, weights = k.sample.weights, seed = k.sample.seed, file = f.file,
    cflags = core.array(held.cflags), needed = core.array(held.needed), unreached = core.array(unreached_text(seen)),
    tested_on = core.array(held.tested_on) }
  local path = f.out .. "/" .. fn.name
  local changed = c_function.file_with(held.task, k.code_in_file)
  local v = held.verdict
  core.write(path .. ".c", comment_of(held, k, origin, seen) .. changed)
  core.write(path .. ".diff", diff.unified(text, changed, f.file, path .. ".c"))
  core.write(path .. ".json", kernels.verdict_text({ verdict = v, result = k.result, ours = k.verdict }, origin))
  verb.say("\n%s is %.2fx as fast (95 %% interval %.2f to %.2f, full protocol, compiled with %s), tested equal within the "
    .. "stated bound on inputs as below.", fn.name, v.speedup, v.speedup_lo, v.speedup_hi, table.concat(held.cflags, " "))
  verb.say("Tested for these, and for nothing else:\n  %s", table.concat(held.tested_on, "\n  "))
  verb.say("With %s, as the search compiles, it is %.2fx as fast.", table.concat(user_task.our_flags, " "), k.verdict.speedup)
  if #held.needed > 0 then verb.say("It needs %s beside your options.", table.concat(held.needed, " ")) end
  for _, need in ipairs(needs_of(k)) do verb.say("It %s.", need) end
  local missed = unreached_text(seen)
  if #missed > 0 then
    verb.say("Not tested, because no input of the test went there in the original:\n  %s", table.concat(missed, "\n  "))
  end
  verb.say("%s.c     the file with the new function, as it was compiled and tested; its arrays must not overlap", path)
  verb.say("%s.diff  what changed\n%s.json  the verdict\nrun        %s", path, path, dir)
end

local function say_nothing_found(fn, dir, t, misfit)
  verb.say("\nNothing faster was found: of %d samples %d were correct kernels of their own, and none was faster than %s "
    .. "by more than 1 %% for sure when judged again.", t.n_samples, t.n_correct, fn.name)
  if misfit then verb.say("The fastest cannot stand in %s: %s.", fn.file, misfit) end
  verb.say("run        %s\nWith more samples (--k) what this run has is not made again.", dir)
end

local function say_only_ours(fn, dir, ends)
  verb.say("\nNothing that holds was found: the best kernel is faster than %s for sure as the search compiles (%s), but not "
    .. "as you do:\n  %s", fn.name, table.concat(user_task.our_flags, " "), table.concat(ends, "\n  "))
  verb.say("run        %s\n--cflags says how you compile.", dir)
end

-- ── the verb ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function show_unreached(seen)
  if seen.problem then verb.say("which lines the inputs reach is not known: %s", seen.problem) end
  local missed = unreached_text(seen)
  if #missed == 0 then return true end
  verb.say("The inputs do not reach all of it; a kernel may do anything there (other --range or --value may reach it):\n  %s",
    table.concat(missed, "\n  "))
  if not core.can_ask() then return true end
  local line = core.ask "go on without testing that? [Y/n]: "
  return line == nil or not line:find "^%s*[nN]"
end

-- By what a file is known as one that an earlier call wrote.
local marks = {
  [".c"] = function(text) return text:find("^/%*") and text:find("\n * judged twice, ", 1, true) end,
  [".diff"] = function(text) return text:find("\n%+%+%+ [^\n]*%.c\n") end,
  [".json"] = function(text) return text:find('"tested_on":', 1, true) or text:find('"cflags":', 1, true) end,
  [".task.lua"] = function(text) return text:find("^%-%- Made by `vegttt optimise`") end,
}

-- What an earlier call wrote, which is no result of this one. Refuses to touch anything else: the file that is optimised,
-- under whatever name, and what somebody else wrote.
local function old_results(f, text)
  local old = {}
  for ending, is_ours in pairs(marks) do
    local path = f.out .. "/" .. f["function"] .. ending
    local there = core.exists(path) and core.read(path)
    if there == text then
      errors.usage("the result would be written over %s, which is the file to be made faster; give another folder by --out", path)
    elseif there and not is_ours(there) then
      errors.usage("there is a file %s that `vegttt optimise` did not write; give another folder by --out", path)
    end
    if there then old[#old + 1] = path end
  end
  return old
end

local function run(f, rest, argv)
  if #rest ~= 1 then errors.usage "optimise takes one C file; see `vegttt optimise --help`" end
  if not f["function"] then errors.usage "optimise needs --function NAME, the function to make faster" end
  f.file, f.out = rest[1], f.out:gsub("(.)/+$", "%1")
  session.flags = { unsafe_jail = f["unsafe-jail"] }
  local text = verb.source(f.file)
  local old = old_results(f, text)
  local fn, document, answered, seen = unit_task.read(f, text)
  local again = { "optimise", table.unpack(argv) }
  if #answered > 0 then
    table.move(answered, 1, #answered, #again + 1, again)
    verb.say("the same without questions: %s", verb.command(again))
  end
  local task_file = ("%s/%s.task.lua"):format(f.out, fn.name)
  local e, values, origins = prepare(task_file, f)
  core.mkdir(f.out)
  for _, path in ipairs(old) do core.remove(path) end
  if not show_unreached(seen) then return 1 end
  local task
  task, document = unit_task.checked(document, fn, f, task_file, seen)
  if not task then return 1 end
  local dir = search(again, e, values, origins)
  local of_task, k, misfit = best_of(task, fn, dir)
  if not k then
    say_nothing_found(fn, dir, of_task, misfit)
    return 1
  end
  local held, ends = as_compiled_by_the_user(document, fn, k)
  if not held then
    say_only_ours(fn, dir, ends)
    return 1
  end
  held.tested_on = tested_on.lines(document, seen.fixed, seen.narrowed)
  write_result(f, fn, text, held, k, dir, seen)
  return 0
end

function optimise.main(argv)
  return verb.main(argv, { help = help, options = options, run = run, max_words = 1,
    after = "Exit codes: 0 a faster one was found, 1 none was, or the function makes no sound task" })
end

return optimise
