-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt eval`: the evaluator for one file, for a folder, or as a service. All three give the same verdict; the exit
-- code of the first says whether the file is correct.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local serve = require "vegttt.verb_serve"
local tasks = require "vegttt.tasks"
local verb = require "vegttt.verb_common"
local verdict_text = require "vegttt.verdict_text"

local eval = {}

local help = [[
vegttt eval --task ID|NAME|FILE.lua FILE.c   judge one file: a function body, or the whole function
vegttt eval --task ID|NAME FILE.cu           judge CUDA kernels with their launch plan, on a GPU
vegttt eval --task PROBLEM.py FILE.py        judge a body of forward, or a file with ModelNew, against a KernelBench problem
vegttt eval --kernelbench DIR --task ID FILE.py   the same, of DIR/level1 (or --level N)
vegttt eval --all DIR [--task …]             judge every .c file below DIR; a first line `// task: relu` names its task
vegttt eval --serve [--socket PATH]          JSON requests in, JSON verdicts out, a line each, in completion order

A request: {"id": anything, "task": 19 or "relu" or "FILE.lua" or a task's JSON, "code": "C text" or "answer": "a model's
answer"}, and if wanted "protocol", "tier", "scale", "timing": false and "fresh": true]]

-- What can be asked for, by the names that refusals use.
local of_file, of_folder, of_service = "eval FILE.c", "eval --all", "eval --serve"

local options = {
  verb.with({ "task", "TASK", "an id, a name or a task file" }, of_file, of_folder),
  verb.with({ "kernelbench", "DIR", "ids are KernelBench's own problem files, from there" }, of_file),
  verb.with({ "level", "N", "of --kernelbench (default: 1)" }, of_file),
  verb.with({ "all", "DIR", "judge every .c file below DIR" }, of_folder),
  { "serve", nil, "judge what standard input asks for" },
  verb.with({ "socket", "PATH", "with --serve: what clients of this socket ask for" }, of_service),
  verb.with(verb.protocol_option, of_file, of_folder),
  verb.with({ "tier", table.concat(core.eval_tiers(), "|"), "what judges (default: the task's, cuda for a .cu file, else c)",
    choices = core.eval_tiers() }, of_file, of_folder),
  verb.with({ "scale", "NAME", "the sizes of the task: cpu, search, full (default: the tier's)" }, of_file, of_folder),
  verb.with({ "extract", nil, "the file is a model's answer: the code in it is judged" }, of_file, of_folder),
  verb.with({ "fresh", nil, "ignore stored builds and verdicts" }, of_file, of_folder),
  verb.with({ "json", nil, "the whole record as JSON, one line a file" }, of_file, of_folder),
  verb.with(verb.queue_option, of_file, of_folder),
  verb.unsafe_jail_option,
}
local n_parallel = 8

local function task_of(f)
  if not f.task then errors.usage "eval needs --task: an id, a name or a task file (`vegttt task ls` lists them)" end
  if f.level and not f.kernelbench then errors.usage "--level is one of --kernelbench's" end
  if not f.kernelbench then return verb.task(f.task) end
  local id, level = math.tointeger(tonumber(f.task)), math.tointeger(tonumber(f.level or 1))
  if not id or not level then errors.usage "--kernelbench wants numbers: --task ID and --level N" end
  return verb.task(tasks.problem_path(f.kernelbench, level, id)
    or errors.usage("there is no problem %d of level %d below %s", id, level, f.kernelbench))
end

local function one(file, f)
  local task, code = task_of(f), verb.source(file)
  f.tier = f.tier or task.tier or file:find "%.cu$" and "cuda" or nil
  local record = verb.wait(function() return verb.judge(task, code, f) end)
  code = f.extract and (f.tier or "c") == "c" and core.extract(code, task.name) or code
  core.out((f.json and record.json or verdict_text.render(record, task, code, file)) .. "\n")
  return record.correct and 0 or 1
end

-- ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local function c_files(dir, out)
  for _, name in ipairs(core.list(dir)) do
    local path = dir .. "/" .. name
    if core.is_dir(path) then
      c_files(path, out)
    elseif name:find "%.c$" then
      out[#out + 1] = path
    end
  end
  return out
end

-- { file, task, code } or { file, error }: a file nobody can judge is a row of the table, not the end of the others.
local function job_of(file, f, known)
  local ok, job = pcall(function()
    local code = verb.source(file)
    local what = code:match "^%s*//%s*task:%s*(%S+)" or f.task
      or errors.usage("%s names no task: begin it with `// task: NAME`, or give --task", file)
    known[what] = known[what] or verb.task(what)
    return { file = file, task = known[what], code = code }
  end)
  if ok then return job end
  if errors.is(job) and job.kind == "usage" then return { file = file, error = tostring(job) } end
  error(job, 0)
end

local function show_progress(counts, n_done, n, began)
  local parts = {}
  for _, status in ipairs(errors.keys(counts)) do parts[#parts + 1] = ("%d %s"):format(counts[status], status) end
  local elapsed = core.now() - began
  local rate = elapsed > 0 and n_done / elapsed or 0
  core.progress { stage = "eval", counts = table.concat(parts, ", "), n_evals = n_done, n_evals_planned = n,
    elapsed_s = elapsed, rate = rate, eta_s = rate > 0 and (n - n_done) / rate or -1 }
end

local function row_text(job, record)
  local notes = record.correct and ("%.2fx (%.2f to %.2f)"):format(record.speedup, record.speedup_lo, record.speedup_hi)
    or record.feedback:gsub("%s+", " "):sub(1, 100)
  return ("%-13s %-22s %s  %s"):format(record.status, job.task.name, job.file, notes)
end

local function summary(counts, n, n_unjudged, seconds)
  verb.say("")
  for _, status in ipairs(errors.keys(counts)) do
    verb.say("%6d  %-14s %s", counts[status], status, verdict_text.meaning[status] or "see above")
  end
  local left_out = n_unjudged > 0 and (", %d of them could not be judged"):format(n_unjudged) or ""
  verb.say("%6d  files in %.1f s%s", n, seconds, left_out)
end

local function folder(dir, f)
  if not core.is_dir(dir) then errors.usage("there is no folder %s", dir) end
  local files, known, jobs = c_files(dir, {}), {}, {}
  if #files == 0 then errors.usage("there is no .c file below %s", dir) end
  for i, file in ipairs(files) do jobs[i] = job_of(file, f, known) end
  local counts, n_done, n_correct, n_unjudged, began, shown = {}, 0, 0, 0, core.now(), core.now()
  local function count(status)
    counts[status] = (counts[status] or 0) + 1
    n_done = n_done + 1
    if core.now() - shown > (core.tty and 0.25 or 5) then
      shown = core.now()
      show_progress(counts, n_done, #files, began)
    end
  end
  verb.wait(function()
    sched.map(jobs, function(job)
      if job.error then
        n_unjudged = n_unjudged + 1
        count "not_judged"
        verb.say("%-13s %s", "not_judged", job.error)
        return
      end
      local record = verb.judge(job.task, job.code, f)
      if record.correct then n_correct = n_correct + 1 end
      count(record.status)
      record.file = job.file
      local json = f.json and core.json_encode { file = job.file, verdict = core.json_decode(record.json, "a verdict") }
      core.out((json or row_text(job, record)) .. "\n")
    end, { limit = n_parallel })
  end)
  if not f.json then summary(counts, #files, n_unjudged, core.now() - began) end
  return n_unjudged > 0 and 2 or n_correct == #files and 0 or 1
end

-- ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

local function doing(f)
  return (f.serve or f.socket) and of_service or f.all and of_folder or of_file
end

local function run(f, rest)
  if f.serve or f.socket then
    if #rest > 0 then errors.usage("--serve reads requests, not files; '%s' is too much", rest[1]) end
    return serve.run(f)
  end
  if f.all then
    if #rest > 0 then errors.usage("--all takes one folder; '%s' is too much", rest[1]) end
    return folder((f.all:gsub("(.)/+$", "%1")), f)
  end
  if #rest ~= 1 then
    errors.usage(#rest == 0 and "eval needs a .c file, --all DIR or --serve; see `vegttt eval --help`"
      or ("eval judges one file at a time, and '%s' is a second one; --all DIR judges a folder"):format(rest[2]))
  end
  return one(rest[1], f)
end

function eval.main(argv)
  return verb.main(argv, { help = help, options = options, run = run, doing = doing,
    after = "Exit codes: 0 correct, 1 not correct, 2 bad input, 4 the evaluator could not work" })
end

return eval
