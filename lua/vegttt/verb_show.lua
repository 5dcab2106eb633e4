-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt show RUN`: parameters, tables, costs of one run, and where its files are. An unfinished run shows what has
-- been recorded so far and the command that continues it.
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local progress = require "vegttt.progress"
local run_files = require "vegttt.run_files"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local show = {}

local function show_params(dir)
  local p = run_files.params(dir)
  verb.say "\nparameters"
  for _, name in ipairs(errors.keys(p)) do
    local entry = p[name]
    local is_worth_saying = entry.origin ~= "default" and entry.value ~= core.null
    local origin = is_worth_saying and (" (%s)"):format(entry.origin) or ""
    verb.say("  %-14s %s%s", name, args.show(entry.value), origin)
  end
end

local function show_tables(dir)
  for _, file in ipairs(core.list(dir .. "/tables")) do
    local name = file:match "^(.*)%.md$"
    if name then verb.say("\n%s\n\n%s", name, (core.read(dir .. "/tables/" .. file):gsub("%s+$", ""))) end
  end
end

local function show_verdicts(dir)
  local first, again = { n = 0 }, { n = 0 }
  run_files.lines(dir, "evals.jsonl", function(line)
    local counts = line.confirms and again or first
    counts[line.status] = (counts[line.status] or 0) + 1
    counts.n = counts.n + 1
  end)
  if first.n > 0 then verb.say("\n%d verdicts: %s", first.n, progress.counts_text(first)) end
  if again.n > 0 then verb.say("%d of the best judged again: %s", again.n, progress.counts_text(again)) end
end

local function last_meter(dir, summary)
  if summary and summary.meter.charged then return summary.meter end
  local last
  run_files.lines(dir, "meter.jsonl", function(line) last = line end)
  return last
end

local function show_meter(dir, summary)
  local m = last_meter(dir, summary)
  if not m or type(m.charged) ~= "table" then return end
  local spent = type(m.spent) == "table" and m.spent or {}
  verb.say("\n%-16s %12s %12s", "cost", "charged", "spent")
  for _, unit in ipairs(errors.keys(m.charged)) do
    if m.charged[unit] ~= 0 or spent[unit] ~= 0 then
      verb.say("  %-14s %12s %12s", unit, text.value(m.charged[unit], 10), text.value(spent[unit] or 0, 10))
    end
  end
end

local places = {
  { "rollouts.jsonl", "every sample" }, { "evals.jsonl", "every verdict" },
  { "metrics.jsonl", "what the script logged" }, { "tables", "CSV and Markdown" },
  { "plots", "SVG and CSV" }, { "ckpt", "snapshots of the adapter" }, { "source", "the script as it ran" },
  { "log/latest", "the log of the last attempt" },
}

-- What the run before it was, and what is not as it was then.
local function show_before(about)
  if not about.before then return end
  local changed = about.changed or {}
  verb.say("the run before it is %s; since then: %s", about.before, #changed > 0 and table.concat(changed, ", ")
    or "nothing")
end

-- One sample: what the model wrote, what was compiled, what became of it, and what it was worth.
local function show_sample(dir, n)
  local samples = run_files.samples(dir)
  local s = samples[n] or errors.usage("%s has %d samples; there is none with the number %d", dir, #samples, n)
  verb.say("sample %d of %d: task %s, step %s, draw %s, number %d, seed %s", n, #samples, tostring(s.task),
    tostring(s.step), tostring(s.draw), s.i, tostring(s.seed))
  verb.say("  %d tokens, ended by %s; log-probability %s, of the code %s; temperature %s", s.n_tokens, s.finish,
    text.number(s.logprob, 6), text.value(s.logprob_code, 6), tostring(s.temperature))
  if s.reward then verb.say("  reward %s, advantage %s", text.value(s.reward, 6), text.value(s.advantage, 6)) end
  verb.say("\nanswer\n%s", s.text)
  local v = s.result
  if not v then return verb.say "\nit has no verdict" end
  local source, log = run_files.blob(dir, v.source), run_files.blob(dir, v.build and v.build.log)
  if source then verb.say("\nassembled\n%s", source) end
  if log and log ~= "" then verb.say("\ncompiler\n%s", log) end
  verb.say("\nverdict    %s%s", v.status, #(v.flags or {}) > 0 and " (" .. table.concat(v.flags, ", ") .. ")" or "")
  if v.feedback then verb.say("feedback   %s", v.feedback) end
  if not v.correct then return end
  verb.say("speedup    %s, 95 %% interval %s to %s; measured %s", text.number(v.speedup, 4), text.number(v.speedup_lo, 4),
    text.number(v.speedup_hi, 4), text.number(v.speedup_measured, 4))
  local trials = {}
  for i, t in ipairs(v.trials or {}) do trials[i] = text.number(t, 5) end
  if #trials > 0 then verb.say("trials     %s us", table.concat(trials, " ")) end
end

local function run(f, rest)
  if #rest ~= 1 then errors.usage "show takes one run: a folder, \"latest\", or the beginning of a stamp" end
  local dir = run_files.find(rest[1])
  if f.sample then
    show_sample(dir, f.sample)
    return 0
  end
  local about, summary = run_files.json(dir, "run.json"), run_files.summary(dir)
  local status = run_files.status(dir)
  if not about then errors.usage("%s/run.json cannot be read, so this is no run that can be shown", dir) end
  local wall = summary and type(summary.wall_s) == "number" and (", %.1f s in the last attempt"):format(summary.wall_s) or ""
  verb.say("%s: %s, %s%s", dir, about.experiment or "?", status, wall)
  if status ~= "finished" then verb.say("%s; the same command continues it", run_files.so_far(dir)) end
  show_before(about)
  show_params(dir)
  show_tables(dir)
  local headline = run_files.headline(summary)
  if headline ~= "" then verb.say("\nresult: %s", headline) end
  show_verdicts(dir)
  show_meter(dir, summary)
  verb.say "\nfiles"
  for _, p in ipairs(places) do
    if core.exists(dir .. "/" .. p[1]) then verb.say("  %-40s %s", dir .. "/" .. p[1], p[2]) end
  end
  return 0
end

function show.main(argv)
  return verb.main(argv, { run = run,
    options = { { "sample", "N", "one sample instead: answer, code, compiler, verdict, trials, reward", kind = "integer",
      min = 1 } },
    help = 'vegttt show RUN   RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists' })
end

return show
