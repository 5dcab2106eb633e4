-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt export RUN --kernels DIR`: the best kernel of each task of a run as DIR/<task>.c, its record as
-- DIR/<task>.json. A kernel that the run has not judged twice is judged again before it is written. `--samples FILE`:
-- every sample as a row of CSV.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local kernels = require "vegttt.kernels"
local run_files = require "vegttt.run_files"
local verb = require "vegttt.verb_common"

local export = {}

local help = [[
vegttt export RUN --kernels DIR | --samples FILE.csv
  RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists

Kernels: one a task, correct, no copy, and faster for sure both in the run and when judged again on new inputs; where
the run stopped before that second verdict, it is made now. Samples: a row each, with its log-probabilities, first
verdict, reward and advantage, its code and the whole answer, exactly (RFC 4180): a reader of CSV gets the texts back,
line ends, quotes and all. A spreadsheet takes a text that begins with = for a formula: have it import texts as texts.]]

-- What can be asked for, by the names that refusals use.
local of_kernels, of_samples = "export --kernels", "export --samples"

local options = { { "kernels", "DIR", "the folder to write the best kernels to" },
  { "samples", "FILE.csv", "the file to write every sample to" }, { "force", nil, "overwrite files that are there" },
  verb.with(verb.unsafe_jail_option, of_kernels) }

local function refuse_to_overwrite(list, out)
  for _, t in ipairs(list) do
    for _, ending in ipairs { ".c", ".json" } do
      local path = ("%s/%s%s"):format(out, t.name, ending)
      if core.exists(path) then errors.usage("%s exists already; --force overwrites it", path) end
    end
  end
end

local function write(dir, task, k, out)
  local origin = { run = dir, weights = k.sample.weights, seed = k.sample.seed, step = k.sample.step, place = k.sample.place,
    draw = k.sample.draw, i = k.sample.i }
  local path = ("%s/%s"):format(out, task.name)
  core.write(path .. ".c", kernels.file_text(task, k, origin))
  core.write(path .. ".json", kernels.verdict_text(k, origin))
  verb.say("%-40s %.2fx (%.2f to %.2f)", path .. ".c", k.verdict.speedup, k.verdict.speedup_lo, k.verdict.speedup_hi)
end

-- ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local of_sample = { "task", "step", "place", "draw", "i", "seed", "temperature", "seen", "finish", "n_tokens", "logprob",
  "logprob_mean", "logprob_code", "parse", "code_sha", "weights", "prompt_sha", "key", "reward", "advantage" }
local of_verdict = { "task_name", "status", "correct", "is_copy", "speedup", "speedup_measured", "speedup_lo",
  "speedup_hi", "runtime_us", "ref_us", "worst", "flags", "protocol", "evaluator", "machine", "timed_in", "feedback" }

-- CSV has no byte of the value 0: where an answer holds one, its picture stands.
local function cell(v)
  if v == nil or v == core.null then return false end
  if type(v) == "table" then v = table.concat(v, " ") end
  if type(v) == "string" then return (v:gsub("%z", "\u{2400}")) end
  return type(v) == "boolean" and (v and 1 or 0) or v
end

local function export_samples(dir, path, is_forced)
  if core.exists(path) and not is_forced then errors.usage("%s exists already; --force overwrites it", path) end
  local columns, rows = { "sample" }, {}
  table.move(of_sample, 1, #of_sample, #columns + 1, columns)
  table.move(of_verdict, 1, #of_verdict, #columns + 1, columns)
  table.move({ "code", "text" }, 1, 2, #columns + 1, columns)
  for n, s in ipairs(run_files.samples(dir)) do
    local row = { n }
    for _, name in ipairs(of_sample) do row[#row + 1] = cell(s[name]) end
    for _, name in ipairs(of_verdict) do row[#row + 1] = cell(s.result and s.result[name]) end
    row[#row + 1], row[#row + 2] = cell(s.code), cell(s.text)
    rows[n] = row
  end
  core.write(path, core.table_text(columns, rows, "csv", 0))
  verb.say("%s: %d samples", path, #rows)
  return 0
end

local function run(f, rest)
  if #rest ~= 1 then errors.usage "export takes one run: a folder, \"latest\", or the beginning of a stamp" end
  if (f.kernels == nil) == (f.samples == nil) then
    errors.usage "export needs --kernels DIR, the folder to write to, or --samples FILE.csv"
  end
  local dir = run_files.find(rest[1])
  if f.samples then return export_samples(dir, f.samples, f.force) end
  local out = f.kernels:gsub("(.)/+$", "%1")
  local list = kernels.of(dir)
  local candidates = require("vegttt.list").filter(list, function(t) return #t.ranked > 0 end)
  if core.exists(out) and not core.is_dir(out) then errors.usage("%s is a file, not a folder", out) end
  if not f.force then refuse_to_overwrite(candidates, out) end
  local n_written, task_of = 0, run_files.tasks_of(dir)
  for _, t in ipairs(candidates) do
    local task = task_of(t.task)
    local k, misfit = kernels.confirmed(t, task)
    if k then
      core.mkdir(out)
      write(dir, task, k, out)
      n_written = n_written + 1
    else
      verb.say("%-40s none of its kernels held when judged again%s", task.name,
        misfit and ("; the fastest cannot stand in its file: %s"):format(misfit) or "")
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
  return verb.main(argv, { help = help, options = options, run = run, max_words = 1,
    doing = function(f) return f.kernels and of_kernels or of_samples end,
    after = "Exit codes: 0 something was written, 1 no kernel held, 2 bad input, 4 the evaluator could not work" })
end

return export
