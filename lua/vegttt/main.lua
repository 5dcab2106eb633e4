-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt FILE.lua …`, and what else is carried out as an experiment (`vegttt repl`): from arguments to exit code. The words
-- are read against the experiment's parameters and the flags that every experiment has; nothing is written before all of them
-- are known to be good.
local args = require "vegttt.args"
local attempt = require "vegttt.attempt"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local globals = require "vegttt.globals"
local inputs = require "vegttt.inputs"
local params = require "vegttt.params"
local prices = require "vegttt.prices"
local run = require "vegttt.run"
local run_files = require "vegttt.run_files"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local sweep = require "vegttt.sweep"
local tables = require "vegttt.tables"
local tasks = require "vegttt.tasks"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local main = {}

-- The flags' values and the parameters' texts from the words after the file name.
local function parse(words, declared)
  local options, is_flag = params.options(declared), {}
  for _, f in ipairs(params.flags) do
    is_flag[f[1]] = true
    options[#options + 1] = f
  end
  local reader = args.declare(options)
  local texts, rest = args.texts(reader, words)
  if rest[1] then
    errors.usage("'%s' is neither an option nor a parameter; parameters look like --k 8", rest[1])
  end
  local flags, given = {}, {}
  for name, v in pairs(texts) do
    if is_flag[name] then flags[name] = args.value(reader, name, v) else given[name] = v end
  end
  return flags, given
end

-- The command that continues a run: without --fresh, and without the limits, of which one may be what ended it.
local is_left_out = { ["--fresh"] = 0, ["--max-wall"] = 1, ["--max-rollouts"] = 1, ["--max-drawn"] = 1, ["--max-spend"] = 1 }

local function command_of(head, words)
  local kept, i = table.move(head, 1, #head, 1, {}), 1
  while i <= #words do
    local n_values = is_left_out[words[i]:match "^[^=]*"]
    if not n_values then kept[#kept + 1] = words[i] end
    i = i + 1 + (n_values and not words[i]:find("=", 1, true) and n_values or 0)
  end
  return verb.command(kept)
end

local function counts_of(plan)
  return ("%d samples, %d evaluations, %d updates"):format(plan.samples or 0, plan.evaluations or 0, plan.updates or 0)
end

-- What a run with the defaults costs: counts, where the script plans and its default tasks are here, and a measured time.
local function print_help(e)
  local is_planned, _, plan = pcall(inputs.collect, function() return e.plan and e.plan((params.resolve(e.params, {}, "default"))) end)
  local about = { e.name .. ": " .. e.doc, "" }
  if is_planned and plan then about[#about + 1] = ("With its defaults: %s."):format(counts_of(plan)) end
  if e.takes then about[#about + 1] = ("With its defaults it took %s."):format(e.takes) end
  if #about > 2 then about[#about + 1] = "" end
  core.out(("%s\nParameters:\n%s\n\nFlags:\n%s\n"):format(table.concat(about, "\n"), params.help(e.params), args.help(params.flags)))
end

-- ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Samples and evaluations per second of the latest finished run of the experiment, or nil.
local function measured_rate(e)
  local dir = "runs/" .. e.name
  local names = core.list(dir)
  for i = #names, 1, -1 do
    local path = ("%s/%s/summary.json"):format(dir, names[i])
    local ok, s = pcall(function() return core.json_decode(core.read(path), path) end)
    if ok and type(s) == "table" and (tonumber(s.n_new) or 0) > 0 and (tonumber(s.wall_s) or 0) > 0 then return s.n_new / s.wall_s, names[i] end
  end
end

local function plan_lines(e, plan)
  local lines = { "" }
  if plan.tasks then
    local names = {}
    for i, t in ipairs(plan.tasks) do names[i] = ("%d %s"):format(t.id, t.name) end
    lines[#lines + 1] = ("Tasks (%d): %s"):format(#names, table.concat(names, ", "))
  end
  lines[#lines + 1] = "Counts: " .. counts_of(plan)
  local rate, from = measured_rate(e)
  lines[#lines + 1] = rate
    and ("Estimate: about %.0f s at the rate of run %s (%.1f samples and evaluations a second)")
    :format(((plan.samples or 0) + (plan.evaluations or 0)) / rate, from, rate)
      or "Estimate: none yet; no finished run of this experiment is here to measure from"
  return lines
end

local function print_plan(e, values, origins)
  local lines = { ("%s: %s"):format(e.name, e.doc), "", "Parameters:" }
  for _, name in ipairs(errors.keys(origins)) do
    lines[#lines + 1] = ("  %-14s %s  (%s)"):format(name, args.show(values[name]), origins[name].origin)
  end
  local plan = e.plan and e.plan(values)
  if plan then
    local more = plan_lines(e, plan)
    table.move(more, 1, #more, #lines + 1, lines)
  end
  core.out(table.concat(lines, "\n") .. "\n")
end

-- ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local function error_record(e)
  return { kind = errors.is(e) and e.kind or "script", op = errors.is(e) and e.op or nil, message = errors.sentence(e, ": it goes on from what is recorded") }
end

local function report_error(e)
  core.err(("vegttt: %s\n"):format(errors.sentence(e, ": it goes on from what is recorded")))
  if errors.is(e) and e.traceback and e.traceback ~= "" and (e.kind == "script" or e.kind == "misuse") then
    core.err("stack:\n" .. e.traceback .. "\n")
  end
  return errors.exit_code(e)
end

local function say(is_json, line) (is_json and core.err or core.out)(line .. "\n") end

-- The scalars of a result, a line each.
local function result_text(result, digits)
  local parts = {}
  for _, k in ipairs(errors.keys(result or {})) do
    local v = result[k]
    if type(v) == "table" and rawget(v, "value") then v = tostring(v) end
    if type(v) ~= "table" and v ~= core.null then parts[#parts + 1] = ("%s = %s"):format(k, text.value(v, digits)) end
  end
  return table.concat(parts, "\n")
end

local function say_legend(is_json, columns_of)
  local legend = tables.legend(columns_of)
  if legend ~= "" then say(is_json, "\n" .. legend) end
end

-- Where the small print of the numbers is.
local function say_small_print(is_json, dir)
  local path = ("%s/tables/%s.md"):format(dir, tables.small_print)
  if core.exists(path) then say(is_json, "\nn, distinct values, ties, method and smallest p of each number: " .. path) end
end

local function print_result(r, result, is_json)
  local columns_of = {}
  for _, name in ipairs(r.table_order) do
    local t = r.tables[name]
    if name ~= tables.small_print then
      say(is_json, "\n" .. name .. "\n" .. t:text())
      columns_of[#columns_of + 1] = t.columns
    end
  end
  say_legend(is_json, columns_of)
  say_small_print(is_json, r.dir)
  local scalars = result_text(result, 4)
  if scalars ~= "" then say(is_json, "\n" .. scalars) end
  local m = r.meter:copy()
  local format = "\ncharged (as if the method ran alone): %d rollouts, %d evaluations, %d tokens sampled, %d scored, %d trained; "
    .. "spent (what this run did): %d rollouts, %d evaluations"
  say(is_json, format:format(m.charged.rollouts, m.charged.evaluations, m.charged.sampled_tokens,
    m.charged.scored_tokens, m.charged.update_tokens, m.spent.rollouts, m.spent.evaluations))
  say(is_json, "everything is in " .. r.dir)
  if r.unrepeatable[1] then
    say(is_json, ("what %s gives cannot be compared, so the same command runs this again"):format(
      table.concat(r.unrepeatable, ", ")))
  end
end

local function print_stored(r, summary, is_json)
  local columns_of = {}
  for _, name in ipairs(type(summary.tables) == "table" and summary.tables or {}) do
    name = tostring(name)
    local path = ("%s/tables/%s.md"):format(r.dir, name)
    local table_text = core.exists(path) and core.read(path)
    if not table_text then
      say(is_json, ("\n%s\n\n(%s is not there any more)"):format(name, path))
    elseif name ~= tables.small_print then
      say(is_json, "\n" .. name .. "\n\n" .. table_text)
      columns_of[#columns_of + 1] = tables.columns_of_markdown(table_text)
    end
  end
  say_legend(is_json, columns_of)
  say_small_print(is_json, r.dir)
  say(is_json, result_text(summary.result, 15))
  say(is_json, "\nThis run is finished: " .. r.dir)
  say(is_json, "Again from the start: --fresh; an independent repetition: --replicate 1")
end

local function json_record(fields) core.out(core.json_encode(fields) .. "\n") end

-- ── one run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local function say_not_replayed(n)
  if n then
    core.err(("vegttt: --reward-from: %d verdict%s not in %s; judged anew here\n"):format(n, n == 1 and " is" or "s are",
      session.flags.reward_from))
  end
end

-- Says how an attempt ended; its exit code.
local function report(r, status, value, is_json, command)
  say_not_replayed(r.n_not_replayed)
  if status == "done" then
    print_result(r, value, is_json)
    return 0
  end
  if status == "interrupted" then
    core.err(("vegttt: interrupted; everything recorded is in %s\nvegttt: continue with: %s\n"):format(r.dir, command))
    return 130
  end
  local code = report_error(value)
  if code == 3 or code == 4 or code == 130 then
    core.err(("vegttt: recorded in %s; continue with: %s\n"):format(r.dir, command))
  end
  return code
end

-- The plan, where a run would not be refused before it costs anything.
local function dry_run(e, values, origins, how)
  local status, problem = attempt.rehearse(e, values, origins, how)
  if status == "failed" then error(problem, 0) end
  if status == "interrupted" then errors.raise("cancelled", e.name, "interrupted", { code = "ECANCELLED" }) end
  print_plan(e, values, origins)
  return 0
end

local function run_experiment(e, flags, given, head, words, o)
  local problem = flags.chat and core.chat_problem(flags.chat)
  if problem then errors.usage("--chat: %s", problem) end
  problem = flags.queue and core.queue_problem(flags.queue)
  if problem then errors.usage("--queue: %s", problem) end
  local cells = sweep.of(e, given)
  local is_of_tasks = not cells and params.are_of_tasks(e.params)
  e = cells or e
  session.flags = { reward_from = flags["reward-from"] and run_files.find(flags["reward-from"]), json = flags.json, fresh = flags.fresh, max_memory = flags["max-memory"],
    unsafe_jail = flags["unsafe-jail"], queue = flags.queue, chat = flags.chat, trace_http = flags["trace-http"] }
  local values, origins = params.resolve(e.params, given, "flag")
  if is_of_tasks then inputs.collect(tasks.get, values) end -- also where the script has no plan that asks for them
  local name_problem = flags.run and run.name_problem(flags.run)
  if name_problem then errors.usage("--run: %s", name_problem) end
  local how = { name = flags.run, fresh = flags.fresh or o.fresh or false, replicate = flags.replicate or 0, argv = words,
    limits = { max_rollouts = flags["max-rollouts"], max_drawn = flags["max-drawn"], max_wall_s = flags["max-wall"], max_spend = flags["max-spend"],
      prices = flags.prices and prices.read(flags.prices) } }
  if flags["dry-run"] then return dry_run(e, values, origins, how) end
  local r = attempt.open(e, values, origins, how)
  local is_json = flags.json
  if is_json then
    json_record { event = "launch", run = r.id, dir = r.dir, experiment = e.name, resumed = r.is_resumed }
  end
  local stored = r:stored_summary()
  if stored then
    print_stored(r, stored, is_json)
    say_not_replayed(stored.not_replayed)
    if is_json then json_record { event = "done", exit = 0, dir = r.dir, result = stored.result } end
    r:close()
    return 0
  end
  local command = command_of(head, words)
  local status, value = attempt.carry_out(r, command, is_json, o.takes_interrupt)
  local code = report(r, status, value, is_json, command)
  if is_json then
    json_record { event = "done", exit = code, dir = r.dir, result = status == "done" and run.plain(value or {}, 0)
      or nil, error = status == "failed" and error_record(value) or nil }
  end
  return code
end

---The experiment that make() gives, with the words that follow those of `head`. o: fresh = it always begins anew;
---takes_interrupt() -> whether a Ctrl-C has been answered. Returns the exit code.
function main.carry_out(make, head, words, o)
  globals.install()
  local ok, code = xpcall(function()
    local e = make()
    local flags, given = parse(words, e.params)
    if flags.help then
      print_help(e)
      return 0
    end
    return run_experiment(e, flags, given, head, words, o)
  end, sched.wrap_error)
  if ok then return code end
  local exit = report_error(code)
  for _, word in ipairs(words) do
    if word == "--json" then json_record { event = "done", exit = exit, error = error_record(code) } end
  end
  return exit
end

---argv: the file, then flags and parameters.
function main.main(argv)
  local file = argv[1]
  return main.carry_out(function()
    local dir = file:match "^(.*)/[^/]*$" or "."
    package.path = ("%s/?.lua;%s/?/init.lua;./lua/?.lua;"):format(dir, dir) .. package.path
    inputs.set_module_places(file)
    return experiment.load(file)
  end, { file }, table.move(argv, 2, #argv, 1, {}), {})
end

return main
