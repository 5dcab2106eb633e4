-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt export RUN --kernels DIR`: the best kernel of each task of a run as DIR/<task>.c, its record as
-- DIR/<task>.json. Nothing is measured again: the files say what the run measured.
local core = require "vegttt.core"
local kernels = require "vegttt.kernels"
local run_files = require "vegttt.run_files"
local tasks = require "vegttt.tasks"
local verb = require "vegttt.verb_common"

local export = {}

local help = [[
vegttt export RUN --kernels DIR [--force]   RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists

Correct kernels that are no copy and not flagged, one a task, by the lower end of the speedup's interval.
--force overwrites files that are there.]]

-- The task a kernel belongs to: one that comes with vegttt, or the user's own as the run kept it.
local function task_of(dir, k)
  local own = run_files.json(dir, "task.json")
  local task = own and own.id == k.task and tasks.from_table(own, dir .. "/task.json")
  if not task then
    local by_id = verb.shipped()
    task = by_id[k.task] and tasks.get({ ids = { k.task } })[1]
  end
  if not task then verb.usage("the run's task %d %s is not among the tasks of this version", k.task, k.name) end
  return task
end

local function write_all(dir, list, out, force)
  if core.exists(out) and not core.is_dir(out) then verb.usage("%s is a file, not a folder", out) end
  for _, k in ipairs(list) do
    for _, ending in ipairs { ".c", ".json" } do
      local path = ("%s/%s%s"):format(out, k.name, ending)
      if core.exists(path) and not force then verb.usage("%s exists already; --force overwrites it", path) end
    end
  end
  core.mkdir(out)
  for _, k in ipairs(list) do
    local task = task_of(dir, k)
    local origin = { run = dir, weights = k.sample.weights, seed = k.sample.seed, step = k.sample.step,
      draw = k.sample.draw, i = k.sample.i }
    local path = ("%s/%s"):format(out, k.name)
    core.write(path .. ".c", kernels.file_text(task, k.code, k.verdict, origin))
    core.write(path .. ".json", kernels.verdict_text(k.verdict, origin))
    verb.say("%-40s %.2fx (%.2f to %.2f)", path .. ".c", k.verdict.speedup, k.verdict.speedup_lo, k.verdict.speedup_hi)
  end
end

local function run(argv)
  local f, rest = verb.parse(argv, { kernels = "DIR", force = true }, help)
  if not f then return 0 end
  if #rest ~= 1 then verb.usage "export takes one run: a folder, \"latest\", or the beginning of a stamp" end
  if not f.kernels then verb.usage "export needs --kernels DIR, the folder to write to" end
  local dir = run_files.find(rest[1])
  local list, n_samples, n_tasks = kernels.best(dir)
  if #list == 0 then
    core.err(("vegttt: %s has no correct kernel of its own among %d samples of %d tasks; nothing was written\n")
      :format(dir, n_samples, n_tasks))
    return 1
  end
  write_all(dir, list, (f.kernels:gsub("(.)/+$", "%1")), f.force)
  verb.say("%d of %d tasks have a kernel", #list, n_tasks)
  return 0
end

function export.main(argv)
  return verb.main(function() return run(argv) end)
end

return export
