-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt export RUN --kernels DIR`: the best kernel of each task of a run as DIR/<task>.c, its record as
-- DIR/<task>.json. A kernel that the run has not judged twice is judged again before it is written.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local kernels = require "vegttt.kernels"
local run_files = require "vegttt.run_files"
local verb = require "vegttt.verb_common"

local export = {}

local help = [[
vegttt export RUN --kernels DIR   RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists

One kernel a task: correct, no copy, and faster for sure both in the run and when judged again on new inputs; where the
run stopped before that second verdict, it is made now.]]

local options = { { "kernels", "DIR", "the folder to write to" }, { "force", nil, "overwrite files that are there" },
  verb.unsafe_jail_option }

local function refuse_to_overwrite(list, out)
  for _, t in ipairs(list) do
    for _, ending in ipairs { ".c", ".json" } do
      local path = ("%s/%s%s"):format(out, t.name, ending)
      if core.exists(path) then errors.usage("%s exists already; --force overwrites it", path) end
    end
  end
end

local function write(dir, task, k, out)
  local origin = { run = dir, weights = k.sample.weights, seed = k.sample.seed, step = k.sample.step,
    draw = k.sample.draw, i = k.sample.i }
  local path = ("%s/%s"):format(out, task.name)
  core.write(path .. ".c", kernels.file_text(task, k, origin))
  core.write(path .. ".json", kernels.verdict_text(k, origin))
  verb.say("%-40s %.2fx (%.2f to %.2f)", path .. ".c", k.verdict.speedup, k.verdict.speedup_lo, k.verdict.speedup_hi)
end

local function run(f, rest)
  if #rest ~= 1 then errors.usage "export takes one run: a folder, \"latest\", or the beginning of a stamp" end
  if not f.kernels then errors.usage "export needs --kernels DIR, the folder to write to" end
  local dir, out = run_files.find(rest[1]), f.kernels:gsub("(.)/+$", "%1")
  local list = kernels.of(dir)
  local candidates = require("vegttt.list").filter(list, function(t) return #t.ranked > 0 end)
  if core.exists(out) and not core.is_dir(out) then errors.usage("%s is a file, not a folder", out) end
  if not f.force then refuse_to_overwrite(candidates, out) end
  local n_written, task_of = 0, run_files.tasks_of(dir)
  for _, t in ipairs(candidates) do
    local task = task_of(t.task)
    local k = kernels.confirmed(t, task)
    if k then
      core.mkdir(out)
      write(dir, task, k, out)
      n_written = n_written + 1
    else
      verb.say("%-40s none of its kernels held when judged again", task.name)
    end
  end
  if n_written == 0 then
    local n_samples = 0
    for _, t in ipairs(list) do n_samples = n_samples + t.n_samples end
    core.err(("vegttt: %s has no kernel that is faster for sure among %d samples of %d tasks; nothing was written\n")
      :format(dir, n_samples, #list))
    return 1
  end
  verb.say("%d of %d tasks have a kernel", n_written, #list)
  return 0
end

function export.main(argv)
  return verb.main(argv, { help = help, options = options, run = run,
    after = "Exit codes: 0 something was written, 1 no kernel held, 2 bad input, 4 the evaluator could not work" })
end

return export
