-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt optimise FILE.c --function f`: a task made of the user's own function, best_of_n or boa run on it, and the
-- fastest kernel as a whole function, its diff and its verdict. What a task must know and C does not say (shapes,
-- ranges, sizes) is asked for on a terminal; elsewhere the missing flag is named. Nothing is written unless a kernel
-- was found that is faster for sure when it is judged again: full protocol, new inputs, a fresh process.
local c_function = require "vegttt.c_function"
local core = require "vegttt.core"
local diff = require "vegttt.diff"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local kernels = require "vegttt.kernels"
local params = require "vegttt.params"
local runs = require "vegttt.run"
local sched = require "vegttt.sched"
local task_check = require "vegttt.task_check"
local tasks = require "vegttt.tasks"
local user_task = require "vegttt.user_task"
local verb = require "vegttt.verb_common"

local optimise = {}

local help = [[
vegttt optimise FILE.c --function f   look for a faster version of a void function of numbers and arrays

  --shape x=n,m       shape of an array in terms of the int parameters, like n+2,m (one flag an array)
  --size n=4096       size at which it is timed; the function should take 0.03 to 2 ms there
  --range x=-1:1      values of an input (default -1:1; of integers 0:2, that is 0 and 1; an index into m rows is 0:m)
  --value eps=1e-5    value of a float, or of an int that is no size
  --inout y           this array is read as well as written
  --tolerance R       relative difference allowed beyond float rounding (0); about 3e-5 allows a fast exp or tanh
  --script best_of_n|boa   how to search (best_of_n)
  --k N               samples (a step, for boa) (32)
  --steps N           steps of boa
  --model SPEC        model (default)
  --seed N            run seed (42)
  --out DIR           where f.c, f.diff, f.json and f.task.lua go (optimised)
  --unsafe-jail       judge although the jail floor is not met; recorded
Exit codes: 0 a faster one was found, 1 none was, or the function makes no sound task]]

local flags = { ["function"] = "NAME", shape = { "ARRAY=EXPRESSION,…" }, size = { "NAME=N" },
  range = { "ARRAY=LO:HI" }, value = { "NAME=NUMBER" }, inout = { "ARRAY" }, tolerance = "R", script = "best_of_n|boa",
  k = "N", steps = "N", model = "SPEC", seed = "N", out = "DIR", ["unsafe-jail"] = true }

-- ── the search ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- The script as it is, except that every set of tasks is the user's one, and that the task is a parameter: it names the
-- run, so that another function is another run. -> experiment, values, origins
local function prepare(task, f)
  local file = core.find(("experiments/%s.lua"):format(f.script))
    or verb.usage("experiments/%s.lua is not beside vegttt", f.script)
  globals.install()
  local vt = require "vegttt"
  vt.tasks = function() return { task } end
  local e = experiment.load(file)
  e.params.task = { task.digest, "digest of the function's task" }
  if f.steps and not e.params.steps then verb.usage("%s has no steps; --script boa has", f.script) end
  return e, params.resolve(e.params, { k = f.k, model = f.model, seed = f.seed, steps = f.steps }, "flag")
end

-- Runs the script on the task; the run's folder.
local function search(task, argv, e, values, origins)
  local r = runs.open(e, values, origins, { argv = argv })
  core.write(r.dir .. "/task.json", task.json .. "\n")
  if r:stored_summary() then
    r:close()
    return r.dir
  end
  if r.is_resumed then core.err(("vegttt: continuing %s (attempt %d)\n"):format(r.dir, r.attempt)) end
  r:begin()
  local status, result = sched.run(function() return r.experiment.main(r:script_view(), r.params) end, r, {
    tick = function() return r.progress:tick() end,
    on_drain = function()
      core.err("vegttt: interrupted; letting running work end (Ctrl-C again stops at once)\n")
      require("vegttt.session").cancel_evaluations()
    end,
  })
  if status == "done" then r:finish(result) end
  local dir = r.dir
  r:close()
  if status == "failed" then error(result, 0) end
  if status == "interrupted" then
    errors.raise("cancelled", "optimise", ("interrupted; everything recorded is in %s; continue with: %s"):format(dir,
      verb.command(argv)))
  end
  return dir
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
  verb.say("run        %s\nMore samples (--k) continue the same run.", dir)
end

local max_bytes = 256 << 20 -- of all arrays; a call of 2 ms reads a quarter of that at most

local function task_of(document, fn, f)
  local ok, task = pcall(tasks.from_table, document, f.file)
  if not ok then
    if not errors.is(task) or task.code ~= "EFORMAT" then error(task, 0) end
    verb.usage("%s", tostring(task))
  end
  local bytes = task_check.working_set(task)
  if bytes > max_bytes then
    verb.usage("the arrays of %s take %.0f MB at these sizes, more than a call of 0.03 to 2 ms can read; give smaller --size",
      fn.name, bytes / 1e6)
  end
  return task
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

local function run(argv)
  local f, rest = verb.parse(argv, flags, help)
  if not f then return 0 end
  if #rest ~= 1 then verb.usage "optimise takes one C file; see `vegttt optimise --help`" end
  if not f["function"] then verb.usage "optimise needs --function NAME, the function to make faster" end
  f.file, f.script = rest[1], verb.choice("script", f.script, { "best_of_n", "boa" })
  f.k, f.steps, f.seed = verb.count("k", f.k or "32", 1), verb.count("steps", f.steps, 0), verb.count("seed", f.seed, 0)
  f.out = (f.out or "optimised"):gsub("(.)/+$", "%1")
  verb.unsafe_jail = f["unsafe-jail"]
  require("vegttt.session").flags = { unsafe_jail = f["unsafe-jail"] }
  local text = verb.source(f.file)
  local fn = c_function.parse(text, f["function"], f.file)
  local document, answered = user_task.document(fn, f)
  local task = task_of(document, fn, f)
  local again = { "optimise", table.unpack(argv) }
  if #answered > 0 then
    table.move(answered, 1, #answered, #again + 1, again)
    verb.say("the same without questions: %s", verb.command(again))
  end
  local e, values, origins = prepare(task, f)
  core.mkdir(f.out)
  core.write(("%s/%s.task.lua"):format(f.out, fn.name), user_task.source(document))
  verb.say("%s as a task (%s/%s.task.lua)", fn.name, f.out, fn.name)
  if not check(task, fn) then return 1 end
  local dir = search(task, again, e, values, origins)
  local of_task, k = best_of(task, dir)
  if not k then
    say_nothing_found(fn, dir, of_task)
    return 1
  end
  write_result(f, fn, text, task, k, dir)
  return 0
end

function optimise.main(argv)
  return verb.main(function() return run(argv) end)
end

return optimise
