-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt FILE.lua …`: from arguments to exit code. Exit codes: 0 done, 1 script error, 2 usage, 3 budget (results
-- valid), 4 infrastructure, 130 interrupted (the same command resumes).
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local params = require "vegttt.params"
local run = require "vegttt.run"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local verb = require "vegttt.verb_common"

local main = {}

local exit_of = { usage = 2, script = 1, misuse = 1, budget = 3, infrastructure = 4, cancelled = 1 }

-- name, takes a value, help
local flags = {
  { "help", nil, "this text" },
  { "dry-run", nil, "print the plan (parameters, tasks, counts, estimate) and stop" },
  { "run", "NAME", "name of the run directory instead of a stamp" },
  { "fresh", nil, "a new run even if one with these parameters exists" },
  { "replicate", "N", "an independent repetition: enters every seed" },
  { "json", nil, "launch and done records on standard output, all else on standard error" },
  { "max-rollouts", "N", "stop when so many samples were charged" },
  { "max-wall", "S", "stop after so many seconds" },
  { "max-memory", "BYTES", "most memory the language model may use (suffix K, M or G)" },
  { "unsafe-jail", nil, "evaluate below the jail floor; recorded" },
}

local function usage(format, ...)
  errors.raise("usage", "command line", format:format(...))
end

local function flag_of(name)
  for _, f in ipairs(flags) do
    if f[1] == name then return f end
  end
end

-- { flags = {…}, given = {…} } from the words after the file name.
local function parse(words, declared)
  local out = { flags = {}, given = {} }
  local i = 1
  while i <= #words do
    local word = words[i]
    local name, value = word:match "^%-%-([%w_-]+)=(.*)$"
    name = name or word:match "^%-%-([%w_-]+)$"
    if not name then usage("'%s' is neither a flag nor a parameter; parameters look like --k 8", word) end
    local flag, key = flag_of(name), name:gsub("-", "_")
    local is_switch = flag and not flag[2]
    local negated = not flag and not declared[key] and key:match "^no_(.+)$"
    if not flag and not declared[key] and not (negated and declared[negated]) then
      local known = errors.keys(declared)
      for _, f in ipairs(flags) do known[#known + 1] = f[1] end
      usage("unknown flag or parameter '--%s'%s", name, errors.hint(name, known))
    end
    if negated and declared[negated] then
      if params.kind(declared[negated]) ~= "boolean" then usage("--%s: '%s' is no switch", name, negated) end
      out.given[negated], is_switch = "false", true
    elseif flag then
      out.flags[name] = is_switch and true or value
    else
      local is_boolean = params.kind(declared[key]) == "boolean"
      is_switch = is_boolean and not value and not (words[i + 1] == "true" or words[i + 1] == "false")
      out.given[key] = is_switch and "true" or value
    end
    if is_switch and value then usage("--%s takes no value", name) end
    if not is_switch and not value then
      i = i + 1
      value = words[i] or usage("--%s needs a value", name)
      if flag then out.flags[name] = value else out.given[key] = value end
    end
    i = i + 1
  end
  return out
end

local function number_flag(f, name, scale)
  local text = f[name]
  if not text then return nil end
  local digits, suffix = text:match "^([%d.eE+-]+)([KMGkmg]?)$"
  local v = tonumber(digits)
  local factor = scale and ({ k = 2 ^ 10, m = 2 ^ 20, g = 2 ^ 30 })[(suffix or ""):lower()] or 1
  if not v or v < 0 or (suffix ~= "" and not scale) then usage("--%s must be a number, not '%s'", name, text) end
  return v * factor
end

local function whole_flag(f, name, scale)
  local v = number_flag(f, name, scale)
  return v and (math.tointeger(v) or usage("--%s must be a whole number, not '%s'", name, f[name]))
end

local function command_of(file, words)
  local kept = { file }
  for _, w in ipairs(words) do
    if w ~= "--fresh" then kept[#kept + 1] = w end
  end
  return verb.command(kept)
end

local function print_help(e)
  local lines = { ("%s: %s"):format(e.name, e.doc), "", "Parameters:", params.help(e.params), "", "Flags:" }
  for _, f in ipairs(flags) do lines[#lines + 1] = ("  --%-20s %s"):format(f[1] .. (f[2] and " " .. f[2] or ""),
      f[3]) end
  core.out(table.concat(lines, "\n") .. "\n")
end

-- Samples and evaluations per second of the latest finished run of the experiment, or nil.
local function measured_rate(e)
  local dir = "runs/" .. e.name
  local names = core.list(dir)
  for i = #names, 1, -1 do
    local path = ("%s/%s/summary.json"):format(dir, names[i])
    local ok, s = pcall(function() return core.json_decode(core.read(path), path) end)
    if ok and s.n_new and s.n_new > 0 and s.wall_s and s.wall_s > 0 then return s.n_new / s.wall_s, names[i] end
  end
end

local function print_plan(e, values, origins)
  local lines = { ("%s: %s"):format(e.name, e.doc), "", "Parameters:" }
  for _, name in ipairs(errors.keys(origins)) do
    lines[#lines + 1] = ("  %-14s %s  (%s)"):format(name, params.show(values[name]), origins[name].origin)
  end
  local plan = e.plan and e.plan(values)
  if plan then
    lines[#lines + 1] = ""
    if plan.tasks then
      local names = {}
      for i, t in ipairs(plan.tasks) do names[i] = ("%d %s"):format(t.id, t.name) end
      lines[#lines + 1] = ("Tasks (%d): %s"):format(#names, table.concat(names, ", "))
    end
    lines[#lines + 1] = ("Counts: %d samples, %d evaluations, %d updates"):format(plan.samples or 0,
      plan.evaluations or 0, plan.updates or 0)
    local rate, from = measured_rate(e)
    lines[#lines + 1] = rate
      and ("Estimate: about %.0f s at the rate of run %s (%.1f samples and evaluations a second)")
      :format(((plan.samples or 0) + (plan.evaluations or 0)) / rate, from, rate)
        or "Estimate: none yet; no finished run of this experiment is here to measure from"
  end
  core.out(table.concat(lines, "\n") .. "\n")
end

local function report_error(e, file)
  local message = tostring(e)
  core.err(("vegttt: %s\n"):format(message))
  if errors.is(e) and e.traceback and e.traceback ~= "" and (e.kind == "script" or e.kind == "misuse") then
    core.err("stack:\n" .. e.traceback .. "\n")
  end
  return errors.is(e) and exit_of[e.kind] or 1, file
end

local function say(is_json, text) (is_json and core.err or core.out)(text .. "\n") end

local function print_result(r, result, is_json)
  for _, name in ipairs(r.table_order) do
    say(is_json, "\n" .. name .. "\n" .. r.tables[name]:text())
  end
  local parts = {}
  for _, k in ipairs(errors.keys(result or {})) do
    local v = result[k]
    if type(v) == "table" and v.value then v = tostring(v) end
    if type(v) ~= "table" then
      parts[#parts + 1] = ("%s = %s"):format(k, type(v) == "number" and ("%.4g"):format(v) or tostring(v))
    end
  end
  if #parts > 0 then say(is_json, "\n" .. table.concat(parts, "\n")) end
  local m = r.meter:copy()
  local format = "\ncharged: %d rollouts, %d evaluations, %d tokens sampled, %d trained; "
    .. "spent: %d rollouts, %d evaluations"
  say(is_json, format:format(m.charged.rollouts, m.charged.evaluations, m.charged.student_tokens,
    m.charged.update_tokens, m.spent.rollouts, m.spent.evaluations))
  say(is_json, "everything is in " .. r.dir)
end

local function print_stored(r, summary, is_json)
  for _, name in ipairs(summary.tables or {}) do
    local path = ("%s/tables/%s.md"):format(r.dir, name)
    if core.exists(path) then say(is_json, "\n" .. name .. "\n\n" .. core.read(path)) end
  end
  for _, k in ipairs(errors.keys(summary.result or {})) do
    local v = summary.result[k]
    if type(v) ~= "table" then say(is_json, ("%s = %s"):format(k, tostring(v))) end
  end
  say(is_json, "\nThis run is finished: " .. r.dir)
  say(is_json, "Again from the start: --fresh; an independent repetition: --replicate 1")
end

local function json_record(fields) core.out(core.json_encode(fields) .. "\n") end

local function open_run(e, values, origins, f, argv)
  local ok, r = pcall(run.open, e, values, origins, { name = f.run, fresh = f.fresh or false,
    replicate = whole_flag(f, "replicate") or 0, argv = argv, limits = { max_rollouts = whole_flag(f, "max-rollouts"),
    max_wall_s = number_flag(f, "max-wall") } })
  if ok then return r end
  if errors.is(r) and r.code == "EINVAL" then usage("%s", r.message) end
  error(r, 0)
end

local function execute(r)
  return sched.run(function() return r.experiment.main(r:script_view(), r.params) end, r, {
    tick = function() return r.progress:tick() end,
    on_drain = function()
      core.err("vegttt: interrupted; letting running work end (Ctrl-C again stops at once)\n")
      session.cancel_evaluations()
    end,
  })
end

local function run_experiment(e, options, file, words)
  local f = options.flags
  session.flags = { fresh = f.fresh, max_memory = whole_flag(f, "max-memory", true), unsafe_jail = f["unsafe-jail"] }
  local values, origins = params.resolve(e.params, options.given, "flag")
  if f["dry-run"] then
    print_plan(e, values, origins)
    return 0
  end
  local r = open_run(e, values, origins, f, words)
  local is_json = f.json
  if is_json then
    json_record { event = "launch", run = r.id, dir = r.dir, experiment = e.name, resumed = r.is_resumed }
  end
  local stored = r:stored_summary()
  if stored then
    print_stored(r, stored, is_json)
    if is_json then json_record { event = "done", exit = 0, dir = r.dir, result = stored.result } end
    r:close()
    return 0
  end
  if r.is_resumed then core.err(("vegttt: continuing %s (attempt %d)\n"):format(r.dir, r.attempt)) end
  if r.is_edited then
    core.err("vegttt: the script was edited since; its new text is kept, what still has the same key is reused\n")
  end
  r:begin()
  local status, result = execute(r)
  if status ~= "done" then r:write_tables() end
  local code = 0
  if status == "done" then
    r:finish(result)
    print_result(r, result, is_json)
  elseif status == "interrupted" then
    core.run_sync(r.handle)
    core.err(("vegttt: interrupted; everything recorded is in %s\nvegttt: continue with: %s\n"):format(r.dir,
      command_of(file, words)))
    code = 130
  else
    core.run_sync(r.handle)
    code = report_error(result, file)
    r:note("error: " .. tostring(result))
    if result.code == "ECANCELLED" then code = 130 end
    if code == 3 or code == 4 or code == 130 then
      core.err(("vegttt: recorded in %s; continue with: %s\n"):format(r.dir, command_of(file, words)))
    end
  end
  if is_json then
    json_record { event = "done", exit = code, dir = r.dir, result = status == "done" and run.plain(result or {}, 0)
      or nil }
  end
  r:close()
  return code
end

---argv: the file, then flags and parameters. Returns the exit code.
function main.main(argv)
  globals.install()
  local file = argv[1]
  local words = table.move(argv, 2, #argv, 1, {})
  local ok, code = xpcall(function()
    local dir = file:match "^(.*)/[^/]*$" or "."
    package.path = ("%s/?.lua;%s/?/init.lua;./lua/?.lua;"):format(dir, dir) .. package.path
    local e = experiment.load(file)
    local options = parse(words, e.params)
    if options.flags.help then
      print_help(e)
      return 0
    end
    return run_experiment(e, options, file, words)
  end, sched.wrap_error)
  if ok then return code end
  return (report_error(code, file))
end

return main
