-- SPDX-License-Identifier: Apache-2.0
--
-- The best kernels of a recorded run, and a kernel as a file that stands for itself: the whole function under a
-- comment that says what was measured, where and how. Used by `vegttt export` and `vegttt optimise`.
local core = require "vegttt.core"
local prompts = require "vegttt.prompts"
local run_files = require "vegttt.run_files"

local kernels = {}

-- The kernel with the larger lower end of its interval is the better one: a lucky short measurement does not win.
local function is_better(a, b) return not b or a.speedup_lo > b.speedup_lo end

---Best correct, unflagged, uncopied kernels of a run folder: { { task, name, code, verdict, sample }, … } by task, and
---the number of samples and of tasks seen.
function kernels.best(dir)
  local verdicts, best, order, n_samples, seen, n_tasks = {}, {}, {}, 0, {}, 0
  run_files.lines(dir, "evals.jsonl", function(v)
    if v.correct and v.status ~= "flagged" and not v.is_copy then verdicts[v.task .. "/" .. v.code_sha] = v end
  end)
  run_files.lines(dir, "rollouts.jsonl", function(s)
    if not s.tokens then return end
    n_samples = n_samples + 1
    if not seen[s.task] then
      seen[s.task] = true
      n_tasks = n_tasks + 1
    end
    local v = s.code and verdicts[s.task .. "/" .. s.code_sha]
    if v and is_better(v, best[s.task] and best[s.task].verdict) then
      if not best[s.task] then order[#order + 1] = s.task end
      best[s.task] = { task = s.task, name = v.task_name, code = s.code, verdict = v, sample = { seed = s.seed, weights = s.weights, step = s.step, draw = s.draw, i = s.i } }
    end
  end)
  table.sort(order)
  local list = {}
  for i, id in ipairs(order) do list[i] = best[id] end
  return list, n_samples, n_tasks
end

local function defines(code, name) return code:find("%f[%w_]" .. name .. "%s*%b()%s*{") ~= nil end

---The code as a whole function (with the task's helpers before it).
function kernels.whole(task, code)
  if defines(code, task.name) then return code end
  return prompts.source(setmetatable({ body = code }, { __index = task }))
end

---The file: comment, headers, function. origin: { run, seed, weights } where it came from a sample.
function kernels.file_text(task, code, verdict, origin)
  local lines = {
    ("%s (task %d, %s)"):format(task.name, task.id, verdict.task_digest:sub(1, 12)),
    ("speedup %.3gx over the baseline, 95 %% interval %.3g to %.3g (%.4g us against %.4g us)"):format(verdict.speedup, verdict.speedup_lo,
      verdict.speedup_hi, verdict.runtime_us, verdict.ref_us),
    ("tested equal within the stated bound; largest error %.2g of it"):format(verdict.worst),
    ("protocol %s, machine %s, compiler %s"):format(verdict.protocol, verdict.machine, verdict.compiler),
  }
  if origin and origin.weights then lines[#lines + 1] = ("weights %s, sample seed %s"):format(tostring(origin.weights), tostring(origin.seed)) end
  if origin and origin.run then lines[#lines + 1] = "run " .. origin.run end
  local comment = "/* " .. table.concat(lines, "\n * "):gsub("%*/", "* /") .. "\n */\n"
  return comment .. "#include <float.h>\n#include <limits.h>\n#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n\n"
    .. kernels.whole(task, code):gsub("%s*$", "\n")
end

---What stands beside the file: the whole record and where the code came from.
function kernels.verdict_text(verdict, origin) return core.json_encode { verdict = verdict, origin = origin } .. "\n" end

return kernels
