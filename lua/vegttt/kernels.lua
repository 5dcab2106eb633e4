-- SPDX-License-Identifier: Apache-2.0
--
-- The best kernels of a recorded run, and a kernel as a file that stands for itself: the whole function under a
-- comment that says what was measured, where and how. Used by `vegttt export` and `vegttt optimise`.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local prompts = require "vegttt.prompts"
local run_files = require "vegttt.run_files"

local kernels = {}

-- Larger lower end of the interval first: a lucky short measurement does not win.
local function is_better(a, b)
  if a.verdict.speedup_lo ~= b.verdict.speedup_lo then return a.verdict.speedup_lo > b.verdict.speedup_lo end
  return a.verdict.code_sha < b.verdict.code_sha
end

-- task -> { kernel, … }: every distinct correct kernel of a run that is no copy and not flagged,
-- and the number of samples.
local function kernels_of(dir)
  local verdicts, by_task, known, n_samples = {}, {}, {}, 0
  run_files.lines(dir, "evals.jsonl", function(v)
    if v.correct and v.status ~= "flagged" and not v.is_copy then verdicts[v.task .. "/" .. v.code_sha] = v end
  end)
  run_files.lines(dir, "rollouts.jsonl", function(s)
    if not s.tokens then return end
    n_samples = n_samples + 1
    by_task[s.task] = by_task[s.task] or {}
    local key = s.code and s.task .. "/" .. s.code_sha
    local v = key and verdicts[key]
    if v and not known[key] then
      known[key] = true
      table.insert(by_task[s.task], { task = s.task, name = v.task_name, code = s.code, verdict = v,
        sample = { seed = s.seed, weights = s.weights, step = s.step, draw = s.draw, i = s.i } })
    end
  end)
  for _, list in pairs(by_task) do table.sort(list, is_better) end
  return by_task, n_samples
end

---The kernels of one task, best first, and the number of samples of the run.
function kernels.ranked(dir, task_id)
  local by_task, n_samples = kernels_of(dir)
  return by_task[task_id] or {}, n_samples
end

---The best kernel of each task that has one, by task, and the number of samples and of tasks sampled.
function kernels.best(dir)
  local by_task, n_samples = kernels_of(dir)
  local ids, list = errors.keys(by_task), {}
  for _, id in ipairs(ids) do list[#list + 1] = by_task[id][1] end
  return list, n_samples, #ids
end

local function defines(code, name) return code:find("%f[%w_]" .. name .. "%s*%b()%s*{") ~= nil end

---The code as a whole function (with the task's helpers before it).
function kernels.whole(task, code)
  if defines(code, task.name) then return code end
  return prompts.source(setmetatable({ body = code }, { __index = task }))
end

---What was measured, as a C comment. origin: { run, seed, weights } where it came from a sample.
function kernels.comment(task, verdict, origin)
  local lines = {
    ("%s (task %d, %s)"):format(task.name, task.id, verdict.task_digest:sub(1, 12)),
    ("speedup %.3gx over the baseline, 95 %% interval %.3g to %.3g (%.4g us against %.4g us)"):format(
      verdict.speedup, verdict.speedup_lo, verdict.speedup_hi, verdict.runtime_us, verdict.ref_us),
    ("tested equal within the stated bound; largest error %.2g of it"):format(verdict.worst),
    ("protocol %s, machine %s, compiler %s"):format(verdict.protocol, verdict.machine, verdict.compiler),
  }
  if origin and origin.weights then
    lines[#lines + 1] = ("weights %s, sample seed %s"):format(tostring(origin.weights), tostring(origin.seed))
  end
  if origin and origin.run then lines[#lines + 1] = "run " .. origin.run end
  return "/* " .. table.concat(lines, "\n * "):gsub("%*/", "* /") .. "\n */\n"
end

local headers = { "float", "limits", "math", "stddef", "stdint", "stdlib", "string" } -- those that every candidate has

---The file: comment, headers, function.
function kernels.file_text(task, code, verdict, origin)
  return ("%s#include <%s.h>\n\n%s\n"):format(kernels.comment(task, verdict, origin),
    table.concat(headers, ".h>\n#include <"),
    (kernels.whole(task, code):gsub("%s+$", "")))
end

---What stands beside the file: the whole record and where the code came from.
function kernels.verdict_text(verdict, origin)
  return core.json_encode { verdict = verdict, origin = origin } .. "\n"
end

return kernels
