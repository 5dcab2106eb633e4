-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt watch`: the runs in progress, drawn again every second. `vegttt watch FILE.lua --on-save`: a selection rule, tried
-- again on recorded samples whenever its file is written; the samples are read once, so that what follows a save takes a
-- fraction of a second.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local gather = require "vegttt.gather"
local globals = require "vegttt.globals"
local params = require "vegttt.params"
local run_files = require "vegttt.run_files"
local sched = require "vegttt.sched"
local select_ = require "vegttt.select"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local watch = {}

local function pause(seconds) sched.next_turn(seconds, "vegttt watch") end

-- ── runs in progress ─────────────────────────────────────────────────────────────────────────────────────────────────

-- A run that somebody writes holds its lock.
local function is_in_progress(dir)
  local ok, hold = pcall(core.run_hold, dir)
  if ok then core.run_release(hold) end
  return not ok and errors.is(hold) and hold.code == "EBUSY"
end

-- The last line of the newest attempt's log, without its seconds.
local function last_line(dir)
  local file = io.open(dir .. "/log/latest", "r")
  if not file then return "" end
  local size = file:seek "end"
  file:seek("set", math.max(0, size - 2048))
  local tail = file:read "a" or ""
  file:close()
  return (tail:match "([^\n]*)\n[^\n]*$" or ""):gsub("^ *[%d.]+ ", "")
end

local function duration(seconds)
  if seconds < 60 then return ("%.0fs"):format(seconds) end
  if seconds < 3600 then return ("%dm%02ds"):format(seconds // 60 | 0, seconds % 60 // 1 | 0) end
  return ("%dh%02dm"):format(seconds // 3600 | 0, seconds % 3600 // 60 | 0)
end

-- What is known of each run in progress; counts go on from where they were, so a look costs what was added since.
local function look(words, known)
  local all, going = run_files.all(), {}
  for _, r in ipairs(all) do
    local is_asked = #words == 0
    for _, word in ipairs(words) do
      for _, m in ipairs(run_files.matching(word, { r })) do is_asked = is_asked or m == r end
    end
    if is_asked and not core.exists(r.dir .. "/summary.json") and is_in_progress(r.dir) then
      known[r.dir] = run_files.counts(r.dir, known[r.dir])
      going[#going + 1] = r
    end
  end
  return going
end

local function lines_of(going, known)
  local out = {}
  for _, r in ipairs(going) do
    local since = os.time() - (tonumber(r.t) or 0) / 1e9
    out[#out + 1] = ("%s/%s  %s, %s"):format(r.experiment, r.stamp, duration(math.max(0, since)), run_files.so_far_text(known[r.dir]))
    out[#out + 1] = "    " .. last_line(r.dir)
  end
  return table.concat(out, "\n") .. "\n"
end

local function say_ended(dir)
  local status, summary = run_files.status(dir)
  verb.say("%s %s  %s", dir, status == "finished" and "finished" or "was left unfinished",
    status == "finished" and run_files.headline(summary) or run_files.so_far(dir))
end

local function watch_runs(words)
  local known, before = {}, {}
  while true do
    local going, now = look(words, known), {}
    for _, r in ipairs(going) do now[r.dir] = true end
    for _, dir in ipairs(errors.keys(before)) do
      if not now[dir] then say_ended(dir) end
    end
    before = now
    if #going == 0 then
      verb.say "no run is in progress here"
      return 0
    end
    if not core.tty then
      core.out(lines_of(going, known))
      return 0
    end
    core.panel(lines_of(going, known))
    pause(1)
  end
end

-- ── a rule on recorded samples ───────────────────────────────────────────────────────────────────────────────────────

local beside = { "random", "first", "surprisal", "confidence", "oracle" } -- what a rule is compared with

local function row(name, all, no_copies)
  local sure = all:fast_sure()
  return ("  %-24s %11.3f  %-16s %9.3f  %7.2f"):format(name:sub(1, 24), sure.value,
    sure.lo and ("%.3f to %.3f"):format(sure.lo, sure.hi) or "", no_copies:fast_sure().value, all:mean "speedup")
end

local function table_of(rule, groups, others, seed)
  local picks = select_.each({ rule }, groups, { seed = seed, pools = { "all", "no_copies" } })
  local lines = { ("  %-24s %11s  %-16s %9s  %7s"):format("rule", "fast_1_sure", "95 % interval", "no_copies", "speedup"),
    row(rule.name, picks.all[rule.name], picks.no_copies[rule.name]) }
  for _, name in ipairs(beside) do
    if name ~= rule.name then lines[#lines + 1] = row(name, others.all[name], others.no_copies[name]) end
  end
  return table.concat(lines, "\n")
end

local function try(file, groups, others, seed)
  local began = core.now()
  local ok, out = xpcall(function() return table_of(select_.load(file), groups, others, seed) end, sched.wrap_error)
  if not ok and errors.is(out) and out.kind == "cancelled" then error(out, 0) end
  verb.say("%s\n%s, %.0f ms", ok and out or "  " .. errors.sentence(out), os.date "%H:%M:%S", (core.now() - began) * 1e3)
end

local function watch_rule(file, f)
  if not core.exists(file) then errors.usage("there is no file %s; `vegttt new rule NAME` writes one", file) end
  globals.install()
  local p = params.resolve(params.of_records {}, { from = f.from, step = f.step }, "flag")
  local groups, n, rules = gather.groups(p), 0, {}
  for _, g in ipairs(groups) do n = n + #g end
  for i, name in ipairs(beside) do rules[i] = select_.rules[name] end
  local others = select_.each(rules, groups, { seed = p.seed, pools = { "all", "no_copies" } })
  verb.say("%d samples of %d tasks from %s; %s is tried at every save (Ctrl-C ends)", n, #groups, f.from, file)
  local seen
  for _ = 1, f.times or math.huge do
    while core.file_digest(file) == seen do pause(0.05) end
    seen = core.file_digest(file)
    try(file, groups, others, p.seed)
  end
  return 0
end

local function run(f, words)
  local is_file = words[1] and words[1]:find "%.lua$"
  if is_file and not f["on-save"] then errors.usage("watch %s needs --on-save: it is tried again whenever it is written", words[1]) end
  if is_file and words[2] then errors.usage("'%s' is a word too many; one rule at a time", words[2]) end
  if f["on-save"] and not is_file then errors.usage "watch --on-save takes the file of a rule; `vegttt new rule NAME` writes one" end
  return verb.wait(function()
    if is_file then return watch_rule(words[1], f) end
    return watch_runs(words)
  end)
end

function watch.main(argv)
  local with = function(option) return verb.with(option, "watch FILE.lua") end
  return verb.main(argv, { run = run, doing = function(_, words)
    return words[1] and words[1]:find "%.lua$" and "watch FILE.lua" or "watch"
  end, options = { with { "on-save", nil, "try the rule again whenever its file is written" },
    with { "from", "RUNS", "recorded runs whose samples it is tried on", default = "latest" },
    with { "step", "N", "samples of this step of their trajectory", kind = "integer", min = 0, default = 0 },
    with { "times", "N", "end after so many tries", kind = "integer", min = 1 } },
    help = [[
vegttt watch [RUN…]             the runs in progress, drawn again every second; in a pipe once
vegttt watch FILE.lua --on-save [--from 'runs/best_of_n/*']   a selection rule on recorded samples, beside the rules that come
  with vegttt: the share of tasks whose pick is faster for sure, also without copies, and the mean speedup of picks]] })
end

return watch
