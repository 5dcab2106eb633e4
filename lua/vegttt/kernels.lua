-- SPDX-License-Identifier: Apache-2.0
--
-- The kernels of a recorded run, and a kernel as a file that stands for itself: the whole function under a comment that
-- says what was measured, where and how. Used by `vegttt export` and `vegttt optimise`, which write only kernels that
-- hold when judged again (best.lua): the run's record of that is used, and what it lacks is judged now.
local best = require "vegttt.best"
local c_function = require "vegttt.c_function"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local prompts = require "vegttt.prompts"
local run_files = require "vegttt.run_files"
local verb = require "vegttt.verb_common"
local written_file = require "vegttt.written_file"

local kernels = {}

-- task/code -> { result = its first verdict, again = the one that confirms it }; only correct ones that are no copy and
-- not flagged have a result.
local function verdicts_of(dir)
  local by_code = {}
  run_files.lines(dir, "evals.jsonl", function(v)
    local key = v.task .. "/" .. v.code_sha
    by_code[key] = by_code[key] or {}
    if v.confirms then
      by_code[key].again = v
    elseif v.correct and v.status ~= "flagged" and not v.is_copy then
      by_code[key].result = v
    end
  end)
  return by_code
end

---What a run has for each task, by task: { task, name, n_samples, n_correct, ranked = { kernel, … } }. n_correct counts
---distinct correct kernels that are no copy; ranked are those worth a second verdict, best first.
function kernels.of(dir)
  local verdicts, by_task, known = verdicts_of(dir), {}, {}
  run_files.lines(dir, "rollouts.jsonl", function(s)
    if not s.tokens then return end
    local t = by_task[s.task] or { task = s.task, n_samples = 0, kernels = {} }
    by_task[s.task] = t
    t.n_samples = t.n_samples + 1
    local key = s.code and s.task .. "/" .. s.code_sha
    local v = key and verdicts[key]
    if v and v.result and not known[key] then
      known[key] = true
      table.insert(t.kernels, { code = s.code, code_sha = s.code_sha, result = v.result, again = v.again,
        sample = { seed = s.seed, weights = s.weights, step = s.step, draw = s.draw, i = s.i } })
      t.name = v.result.task_name
    end
  end)
  local list = {}
  for _, id in ipairs(errors.keys(by_task)) do
    local t = by_task[id]
    t.n_correct, t.ranked, t.kernels = #t.kernels, best.rank(t.kernels), nil
    list[#list + 1] = t
  end
  return list
end

local function judge(task, code)
  local record = verb.wait(function() return verb.judge(task, code, { protocol = "full", fresh = true }) end)
  record.json = nil
  return record
end

-- Of a function in a file of the user's, the kernels that may stand there, and the sentence about the first that may not.
local function fitting(ranked, task, cflags)
  local out, why = {}, nil
  for _, k in ipairs(ranked) do
    if #out == best.max_tries then break end
    local fit, problem = written_file.fit(task, { name = task.name, cflags = cflags }, k.code)
    if fit then
      k.code_in_file, k.kept = fit.code, fit.kept
      out[#out + 1] = k
    end
    why = why or problem
  end
  return out, why
end

---The best kernel among those of kernels.of, with .verdict, its second one; nil where none holds, and why the fastest may
---not stand in the user's file. There it has .code_in_file, and .kept, names of memory that it keeps. cflags: the user's;
---default: the task's.
function kernels.confirmed(of_task, task, cflags)
  local unit, ranked, why = core.json_decode(task.json, "the task").unit, of_task.ranked, nil
  if unit then ranked, why = fitting(ranked, task, cflags or unit.cflags or {}) end
  local k, verdict = best.confirm(ranked, function(k) return k.again or judge(task, k.code) end)
  if k then k.verdict = verdict end
  return k, why
end

local function defines(code, name) return code:find("%f[%w_]" .. name .. "%s*%b()%s*{") ~= nil end

---The code as a whole function (with the task's helpers before it).
function kernels.whole(task, code)
  if defines(code, task.name) then return code end
  return prompts.source(task, code)
end

---What was measured, as a C comment. first: the verdict that made it a candidate; origin: { run, seed, weights }; notes:
---more lines.
function kernels.comment(task, verdict, first, origin, notes)
  local lines = {
    ("%s (task %d, %s)"):format(task.name, task.id, verdict.task_digest:sub(1, 12)),
    ("speedup %.3gx over the baseline, 95 %% interval %.3g to %.3g (%.4g us against %.4g us)"):format(
      verdict.speedup, verdict.speedup_lo, verdict.speedup_hi, verdict.runtime_us, verdict.ref_us),
    ("judged twice, this being the second time, on new inputs; the first said %.3gx (protocol %s)"):format(first.speedup,
      first.protocol),
    ("tested equal within the stated bound; largest error %.2g of it"):format(verdict.worst),
    ("protocol %s, machine %s, compiler %s"):format(verdict.protocol, verdict.machine, verdict.compiler),
  }
  table.move(notes or {}, 1, #(notes or {}), #lines + 1, lines)
  lines[#lines + 1] = ("weights %s, sample seed %s"):format(tostring(origin.weights), tostring(origin.seed))
  lines[#lines + 1] = "run " .. origin.run
  return "/* " .. table.concat(lines, "\n * "):gsub("%*/", "* /") .. "\n */\n"
end

local headers = { "float", "limits", "math", "stddef", "stdint", "stdlib", "string" } -- those that every candidate has

---The file: comment, headers, function; or the user's own file with the kernel in its function's place.
function kernels.file_text(task, k, origin)
  local unit = core.json_decode(task.json, "the task").unit
  if unit then
    return kernels.comment(task, k.verdict, k.result, origin, { "compiled with: " .. table.concat(unit.cflags, " ") })
      .. c_function.file_with(task, k.code_in_file)
  end
  return ("%s#include <%s.h>\n\n%s\n"):format(kernels.comment(task, k.verdict, k.result, origin),
    table.concat(headers, ".h>\n#include <"),
    (kernels.whole(task, k.code):gsub("%s+$", "")))
end

---What stands beside the file: both records and where the code came from.
function kernels.verdict_text(k, origin)
  return core.json_encode { verdict = k.verdict, first = k.result, ours = k.ours, origin = origin } .. "\n"
end

return kernels
