-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt optimise FILE.c --function f`: a task made of the user's own function, best_of_n or boa run on it, and the
-- fastest kernel as a whole function, its diff and its verdict. What a task must know and C does not say (shapes,
-- ranges, sizes) is asked for on a terminal; elsewhere the missing flag is named. Nothing is written unless a kernel
-- was found that is faster for sure when it is judged again: full protocol, new inputs, a fresh process.
local attempt = require "vegttt.attempt"
local c_function = require "vegttt.c_function"
local core = require "vegttt.core"
local diff = require "vegttt.diff"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local kernels = require "vegttt.kernels"
local params = require "vegttt.params"
local session = require "vegttt.session"
local task_check = require "vegttt.task_check"
local tasks = require "vegttt.tasks"
local user_task = require "vegttt.user_task"
local verb = require "vegttt.verb_common"

local optimise = {}

local help = "vegttt optimise FILE.c --function f   look for a faster version of a void function of numbers and arrays"

local options = {
  { "function", "NAME", "the function to make faster" },
  { "shape", "x=n,m", "shape of an array in terms of the int parameters, like n+2,m (one option an array)", repeats = true },
  { "size", "n=4096", "size at which it is timed; the function should take 0.03 to 2 ms there", repeats = true },
  { "range", "x=-1:1", "values of an input (default -1:1; of integers 0:2, that is 0 and 1; an index into m rows is 0:m)",
    repeats = true },
  { "value", "eps=1e-5", "value of a float, or of an int that is no size", repeats = true },
  { "inout", "y", "this array is read as well as written", repeats = true },
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

-- The task's kernels in the run, and the one that holds when judged again or nil.
local function best_of(task, dir)
  for _, t in ipairs(kernels.of(dir)) do
    if t.task == task.id then return t, kernels.confirmed(t, task) end
  end
  return { n_samples = 0, n_correct = 0 }
end

local function write_result(f, fn, text, task, k, dir)
  local origin = { run = dir, weights = k.sample.weights, seed = k.sample.seed, file = f.file }
  local path = f.out .. "/" .. fn.name
  local whole = c_function.text(fn, c_function.body_of(k.code, fn.name))
  local changed = text:sub(1, fn.first_byte - 1) .. whole .. text:sub(fn.last_byte + 1)
  core.write(path .. ".c", kernels.comment(task, k.verdict, k.result, origin) .. changed)
  core.write(path .. ".diff", diff.unified(text, changed, f.file, path .. ".c"))
  core.write(path .. ".json", kernels.verdict_text(k, origin))
  verb.say("\n%s is %.2fx as fast (95 %% interval %.2f to %.2f, full protocol), tested equal within the stated bound.",
    fn.name, k.verdict.speedup, k.verdict.speedup_lo, k.verdict.speedup_hi)
  verb.say("%s.c     the file with the new function; its arrays must not overlap", path)
  verb.say("%s.diff  what changed\n%s.json  the verdict\nrun        %s", path, path, dir)
end

local function say_nothing_found(fn, dir, t)
  verb.say("\nNothing faster was found: of %d samples %d were correct kernels of their own, and none was faster than %s "
    .. "by more than 1 %% for sure when judged again.", t.n_samples, t.n_correct, fn.name)
  verb.say("run        %s\nWith more samples (--k) what this run has is not made again.", dir)
end

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
end

local function check(task, fn)
  local findings = verb.wait(function() return task_check.run(task, {}) end)
  verb.say("%s", task_check.text(findings))
  if findings.sound then return true end
  verb.say("not sound: %s", task_check.failures(findings))
  if findings.is_stale_accepted then
    verb.say("If %s reads an array that it also writes, say so: --inout NAME", fn.name)
  elseif findings.has_crashed then
    verb.say("The shapes must hold whatever %s reads; an index needs its --range in terms of sizes, like 0:m", fn.name)
  end
  return false
end

local function run(f, rest, argv)
  if #rest ~= 1 then errors.usage "optimise takes one C file; see `vegttt optimise --help`" end
  if not f["function"] then errors.usage "optimise needs --function NAME, the function to make faster" end
  f.file, f.out = rest[1], f.out:gsub("(.)/+$", "%1")
  session.flags = { unsafe_jail = f["unsafe-jail"] }
  local text = verb.source(f.file)
  local fn = c_function.parse(text, f["function"], f.file)
  local document, answered = user_task.document(fn, f)
  local again = { "optimise", table.unpack(argv) }
  if #answered > 0 then
    table.move(answered, 1, #answered, #again + 1, again)
    verb.say("the same without questions: %s", verb.command(again))
  end
  check_document(document, fn, f)
  local task_file = ("%s/%s.task.lua"):format(f.out, fn.name)
  local e, values, origins = prepare(task_file, f)
  core.mkdir(f.out)
  core.write(task_file, user_task.source(document))
  local task = tasks.get({ file = task_file })[1]
  verb.say("%s as a task (%s)", fn.name, task_file)
  if not check(task, fn) then return 1 end
  local dir = search(again, e, values, origins)
  local of_task, k = best_of(task, dir)
  if not k then
    say_nothing_found(fn, dir, of_task)
    return 1
  end
  write_result(f, fn, text, task, k, dir)
  return 0
end

function optimise.main(argv)
  return verb.main(argv, { help = help, options = options, run = run, max_words = 1,
    after = "Exit codes: 0 a faster one was found, 1 none was, or the function makes no sound task" })
end

return optimise
