-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt show RUN`: parameters, tables, costs of one run, and where its files are. An unfinished run shows what has
-- been recorded so far and the command that continues it.
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local progress = require "vegttt.progress"
local run_diff = require "vegttt.run_diff"
local run_files = require "vegttt.run_files"
local tables = require "vegttt.tables"
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
  local columns_of = {}
  for _, file in ipairs(core.list(dir .. "/tables")) do
    local name = file:match "^(.*)%.md$"
    local table_text = name and core.read(dir .. "/tables/" .. file):gsub("%s+$", "")
    if name then
      verb.say("\n%s\n\n%s", name, table_text)
      columns_of[#columns_of + 1] = tables.columns_of_markdown(table_text)
    end
  end
  local legend = tables.legend(columns_of)
  if legend ~= "" then verb.say("\n%s", legend) end
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
  verb.say("\n%-16s %12s %12s   charged: as if the method ran alone; spent: what the run did, after sharing and reuse",
    "cost", "charged", "spent")
  for _, unit in ipairs(errors.keys(m.charged)) do
    if m.charged[unit] ~= 0 or spent[unit] ~= 0 then
      verb.say("  %-14s %12s %12s", unit, text.value(m.charged[unit], 10), text.value(spent[unit] or 0, 10))
    end
  end
end

local places = {
  { "rollouts.jsonl", "every sample" }, { "evals.jsonl", "every verdict" },
  { "metrics.jsonl", "what the script logged" }, { "tables", "CSV and Markdown" },
  { "plots", "SVG, CSV and JSON" }, { "ckpt", "snapshots of the adapter" }, { "source", "the script as it ran" },
  { "log/latest", "the log of the last attempt" },
}

-- The newest run of the experiment that is older than the one in `dir`, no cell of its own among them.
local function older(dir, about)
  local found
  for _, r in ipairs(run_files.all()) do
    if r.dir == dir or r.about.id == about.id and r.t == tostring(about.t) then return found end
    if r.experiment == about.experiment and r.parent == about.parent then found = r end
  end
end

-- What the run before it was, and what is not as it was then: as the run noted it where that was of its family, else by
-- what both recorded.
local function show_before(dir, about)
  local before, changed = about.before, about.changed
  if type(before) == "string" and core.exists(before .. "/run.json") then
    changed = table.move(changed or {}, 1, #(changed or {}), 1, {})
  elseif type(before) ~= "string" then
    local r = older(dir, about)
    if not r then return end
    before, changed = r.dir, run_diff.inputs(r.dir, dir)
    for i, p in ipairs((run_diff.params(r.dir, dir))) do
      table.insert(changed, i, ("%s was %s"):format(p.name, args.show(p.a)))
    end
  end
  changed = changed or {}
  changed[#changed + 1] = run_diff.engines(run_diff.engine(run_files.json(before, "run.json")), run_diff.engine(about))
  verb.say("the run before it is %s; since then: %s", before, #changed > 0 and table.concat(changed, ", ") or "nothing")
end

-- What the run was made with, where that is not what shows it: the engine's sources in C are no part of its identity.
local function show_engine(about, summary)
  local was = run_diff.engine(summary) or run_diff.engine(about)
  local differs = run_diff.engines(was, run_diff.engine_now())
  if differs then verb.say("%s", differs) end
end

-- One sample: what the model wrote, what was compiled, what became of it, and what it was worth.
local function show_sample(dir, n)
  local samples = run_files.samples(dir)
  local s = samples[n] or errors.usage("%s has %d samples; there is none with the number %d", dir, #samples, n)
  verb.say("sample %d of %d: task %s, step %s, draw %s, number %d, seed %s", n, #samples, tostring(s.task),
    tostring(s.step), tostring(s.draw), s.i, tostring(s.seed))
  verb.say("  %s tokens, ended by %s; log-probability %s, of the code %s; temperature %s", tostring(s.n_tokens), s.finish,
    text.value(s.logprob, 6), text.value(s.logprob_code, 6), tostring(s.temperature))
  if s.reward or s.advantage then verb.say("  reward %s, advantage %s", text.value(s.reward, 6), text.value(s.advantage, 6)) end
  verb.say("\nanswer\n%s", s.text)
  local v = s.result
  if not v and not s.code_sha then return verb.say "\nthe answer holds no code, so there was nothing to judge" end
  if not v then return verb.say "\nits code has no verdict yet" end
  local source, log = run_files.blob(dir, v.source), run_files.blob(dir, v.build and v.build.log)
  if source then verb.say("\nassembled\n%s", source) end
  if log and log ~= "" then verb.say("\ncompiler\n%s", log) end
  verb.say("\nverdict    %s%s%s", v.status, #(v.flags or {}) > 0 and " (" .. table.concat(v.flags, ", ") .. ")" or "",
    v.timed_in and ", timed in " .. v.timed_in or "")
  if v.feedback then verb.say("feedback   %s", v.feedback) end
  if v.error and v.error ~= core.null and v.error ~= v.feedback then verb.say("error      %s", v.error) end
  if not v.correct then return end
  verb.say("speedup    %s, 95 %% interval %s to %s; measured %s", text.number(v.speedup, 4), text.value(v.speedup_lo, 4),
    text.value(v.speedup_hi, 4), text.number(v.speedup_measured, 4))
  for _, of in ipairs { { "trials", "trials" }, { "ref_trials", "baseline" } } do
    local trials = {}
    for i, t in ipairs(v[of[1]] or {}) do trials[i] = text.number(t, 5) end
    if #trials > 0 then verb.say("%-10s %s us", of[2], table.concat(trials, " ")) end
  end
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
  show_before(dir, about)
  show_engine(about, summary)
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
  return verb.main(argv, { run = run, max_words = 1,
    options = { { "sample", "N", "one sample instead: answer, code, compiler, verdict, trials, reward", kind = "integer",
      min = 1 } },
    after = "`vegttt help columns` explains the columns, `vegttt help run-directory` the files",
    help = 'vegttt show RUN   RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists' })
end

return show
