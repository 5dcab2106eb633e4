-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt report RUN…`: one page about runs, for people who were not there: what came out, charts and tables, each task
-- with its best kernel beside the baseline, why candidates failed, what it cost, and everything that is needed to make it
-- again. The page holds all it shows; numbers are those of the run's files (report_data.lua), shown by report_html.lua.
local args = require "vegttt.args"
local core = require "vegttt.core"
local data = require "vegttt.report_data"
local diff = require "vegttt.diff"
local errors = require "vegttt.errors"
local html = require "vegttt.report_html"
local progress = require "vegttt.progress"
local prompts = require "vegttt.prompts"
local run_files = require "vegttt.run_files"
local tables = require "vegttt.tables"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local report = {}

local mark = "made by vegttt report" -- a page that begins with it may be written over
local most_rows, most_code, most_reasons = 300, 16384, 12

local function get(t, name) return type(t) == "table" and t[name] or nil end

-- ── what came out ────────────────────────────────────────────────────────────────────────────────────────────────────

local function result_section(run)
  local parts, result = {}, run.summary and run.summary.result or {}
  for _, name in ipairs(errors.keys(result)) do
    local v, interval = result[name], ""
    if type(v) == "table" and v.lo then interval = (" (%s to %s)"):format(text.value(v.lo, 3), text.value(v.hi, 3)) end
    if type(v) == "table" then v = v.value end
    if math.type(v) or type(v) == "string" then
      local whole = math.type(v) == "float" and ("%.17g"):format(v) or tostring(v)
      parts[#parts + 1] = ('<div><dt>%s</dt><dd data-result="%s" data-v="%s">%s%s</dd></div>'):format(html.escape(name),
        html.escape(name), html.escape(whole), html.escape(text.value(text.short(v), 4)), html.escape(interval))
    end
  end
  if run.status ~= "finished" then
    local so_far = run_files.so_far(run.dir)
    table.insert(parts, 1, ("<div><dt>%s</dt><dd>%s</dd></div>"):format(run.status, html.escape(so_far)))
  end
  return #parts > 0 and html.section(2, "Result", "<dl>" .. table.concat(parts) .. "</dl>\n") or ""
end

local function figures_section(run)
  local parts = {}
  for _, p in ipairs(run.plots) do parts[#parts + 1] = html.figure(core.read(p.path), p.path) end
  return #parts > 0 and html.section(2, "Figures", table.concat(parts)) or ""
end

local function tables_section(run)
  local parts, columns_of = {}, {}
  for _, t in ipairs(run.tables) do
    local rows = table.move(t.rows, 1, math.min(#t.rows, most_rows), 1, {})
    local body = html.table(t.columns, rows, "table-" .. t.name)
    if #rows < #t.rows then
      body = body .. ('<p class="note">%d of %d rows; all are in %s</p>\n'):format(#rows, #t.rows, html.escape(t.path))
    end
    parts[#parts + 1] = html.section(3, t.name, body)
    columns_of[#columns_of + 1] = t.columns
  end
  local legend = tables.legend(columns_of)
  if legend ~= "" then parts[#parts + 1] = html.details("What the columns mean", html.code(legend)) end
  return #parts > 0 and html.section(2, "Tables", table.concat(parts)) or ""
end

-- ── tasks and kernels ────────────────────────────────────────────────────────────────────────────────────────────────

local function task_name(t) return ("%s %s"):format(tostring(t.task), t.name or "") end

local function per_task(run)
  local rows = {}
  for i, t in ipairs(run.tasks) do
    local v = t.shown and t.shown.verdict or {}
    rows[i] = { t.task, t.name, t.n, t.distinct, t.correct / t.n, t.copies / t.n, t.fast_1 / t.n, t.sure / t.n, v.speedup or false,
      v.speedup_lo or false, v.speedup_hi or false }
  end
  return html.table({ "task", "name", "samples", "codes", "correct", "copies", "fast_1", "fast_1_sure", "best", "lo", "hi" }, rows,
    "per-task")
end

-- The best kernels' speedups with their intervals, on one axis.
local function intervals(run)
  local categories, x, y, lo, hi = {}, {}, {}, {}, {}
  for _, t in ipairs(run.tasks) do
    local v = t.shown and t.shown.verdict
    if v then
      categories[#categories + 1] = task_name(t)
      x[#x + 1], y[#y + 1], lo[#lo + 1], hi[#hi + 1] = #x, v.speedup, v.speedup_lo, v.speedup_hi
    end
  end
  if #categories == 0 then return "" end
  local is_wide = math.max(table.unpack(y)) > 8 -- a bar of 1.2 beside one of 300 would not be seen
  local ok, svg = pcall(core.plot_svg, { { kind = "bar", title = "Best kernel of each task", x_label = "", y_label = "speedup", log_y = is_wide and 10 or nil,
    categories = categories, ref = { 1 }, series = { { name = "speedup", x = x, y = y, lo = lo, hi = hi } } } })
  return ok and html.figure(svg, "speedup over the baseline, with 95 % intervals of its timing") or ""
end

local function kernel_section(t)
  local k, v = t.shown, t.shown.verdict
  local interval = v.speedup_lo and v.speedup_hi and (", 95 %% interval %s to %s"):format(text.value(v.speedup_lo, 4), text.value(v.speedup_hi, 4)) or ", no interval known"
  local times = v.runtime_us and v.ref_us and ("%s against %s µs, "):format(text.value(v.runtime_us, 4), text.value(v.ref_us, 4)) or ""
  local head = ("<h3>%s</h3>\n<p>%s times the baseline%s (%sprotocol %s)%s.</p>\n"):format(
    html.escape(task_name(t)), text.number(v.speedup, 4), interval, times, html.escape(v.protocol),
    k.is_confirmed and ("; judged twice, the first time %s"):format(text.number(k.kernel.result.speedup, 4))
      or "; judged once: by the choice among many this is too high on average")
  if not t.task_of_run then return head .. html.code(k.code, most_code) end
  local ours, baseline = prompts.source(t.task_of_run, k.code), prompts.source(t.task_of_run)
  if k.code:find("%f[%w_]" .. t.task_of_run.name .. "%s*%b()%s*{") then ours = k.code end
  local changes = (#ours < most_code and #baseline < most_code) and diff.unified(baseline, ours, "baseline", "kernel") or ""
  return head .. ('<div class="pair"><div><h4>Baseline</h4>%s</div><div><h4>Kernel</h4>%s</div></div>\n'):format(
    html.code(baseline, most_code), html.code(ours, most_code)) .. (changes ~= "" and html.details("Difference", html.diff(changes)) or "")
end

local function tasks_section(run)
  if #run.tasks == 0 then return "" end
  local parts = { per_task(run), '<p class="note">correct, copies, fast_1 (copies included) and fast_1_sure are shares of the samples; best is the kernel'
    .. " that is shown below, lo and hi its 95 % interval.</p>\n", intervals(run) }
  for _, t in ipairs(run.tasks) do
    if t.shown then parts[#parts + 1] = kernel_section(t) end
  end
  return html.section(2, "Tasks and kernels", table.concat(parts))
end

-- ── why, what it cost, how to make it again ──────────────────────────────────────────────────────────────────────────

local function verdicts_section(run)
  local v = run.verdicts
  if v.n == 0 then return "" end
  local counts, reasons = { n = v.n }, {}
  for status, n in pairs(v.by_status) do counts[status] = n end
  for reason, n in pairs(v.reasons) do
    local status, why = reason:match "^(.-)%z(.*)$"
    reasons[#reasons + 1] = { n, status, why }
  end
  table.sort(reasons, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] .. a[3] < b[2] .. b[3]
  end)
  local body = ("<p>%d verdicts of distinct codes: %s.</p>\n"):format(v.n, html.escape(progress.counts_text(counts)))
  if #reasons > 0 then
    local shown = table.move(reasons, 1, math.min(#reasons, most_reasons), 1, {})
    body = body .. html.table({ "verdicts", "status", "why" }, shown, "reasons")
    if #shown < #reasons then body = body .. ('<p class="note">the %d most frequent of %d reasons</p>\n'):format(#shown, #reasons) end
  end
  return html.section(2, "Verdicts", body)
end

local function cost_section(run)
  local m = run.meter
  if type(get(m, "charged")) ~= "table" then return "" end
  local rows = {}
  for _, unit in ipairs(errors.keys(m.charged)) do
    local spent = get(m.spent, unit) or 0
    if m.charged[unit] ~= 0 or spent ~= 0 then rows[#rows + 1] = { unit, m.charged[unit], spent } end
  end
  local note = "<p class=\"note\">charged: as if the method ran alone; spent: what the run did, after sharing and reuse</p>\n"
  return #rows > 0 and html.section(2, "Cost", html.table({ "unit", "charged", "spent" }, rows, "cost") .. note) or ""
end

local function settings_section(run)
  local rows = {}
  for _, name in ipairs(errors.keys(run.params)) do
    local p = run.params[name]
    rows[#rows + 1] = { name, p.value == core.null and "" or args.show(p.value), p.origin or "" }
  end
  local words = {}
  for i, w in ipairs(run.about.command or {}) do words[i] = verb.quote(tostring(w)) end
  local script = get(run.about.script, "file")
  local command = verb.quote "vegttt" .. (script and " " .. verb.quote(script) or "") .. " " .. table.concat(words, " ")
  return html.section(2, "Settings", html.code((command:gsub("%s+$", ""))) .. html.table({ "parameter", "value", "from" }, rows, "params"))
end

local function versions_section(run)
  local engine, rows = get(run.summary, "engine") or run.about.engine or {}, {}
  local function add(what, v) if v and v ~= "" then rows[#rows + 1] = { what, tostring(v) } end end
  add("run", run.about.id)
  add("vegttt", engine.version)
  add("commit", engine.commit)
  add("sources", engine.digest)
  add("processor", run.env.cpu)
  add("kernel", run.env.kernel)
  for _, by in ipairs(errors.keys(run.verdicts.judged_by)) do
    local machine, compiler, evaluator, protocol, scale = by:match "^(.-)%z(.-)%z(.-)%z(.-)%z(.*)$"
    add(("%d verdicts"):format(run.verdicts.judged_by[by]), ("evaluator %s, protocol %s, sizes %s, %s, on %s"):format(evaluator, protocol,
      scale, compiler, machine))
  end
  local inputs = {}
  for i, line in ipairs(run.inputs) do inputs[i] = { line.kind, line.name, text.short(line.digest or "") } end
  local body = html.table({ "of", "is" }, rows, "versions")
  if #inputs > 0 then body = body .. html.details(("%d inputs were read"):format(#inputs), html.table({ "kind", "name", "digest" }, inputs)) end
  for _, file in ipairs(core.list(run.dir .. "/source")) do
    local path = run.dir .. "/source/" .. file
    if not core.is_dir(path) and file:find "%.lua$" then
      body = body .. html.details(html.escape("source/" .. file), html.code(core.read(path), most_code))
    end
  end
  return html.section(2, "Versions and inputs", body)
end

local function run_page(run, is_only)
  local wall = math.type(get(run.summary, "wall_s")) and (", %.1f s in the last attempt"):format(run.summary.wall_s) or ""
  local began = tonumber(run.about.t) and os.date("!%Y-%m-%d %H:%M UTC", math.tointeger(run.about.t) // 10 ^ 9 // 1 | 0) or "?"
  local head = ('<h1 id="%s">%s</h1>\n<p class="dim">%s · begun %s · %s%s</p>\n'):format(html.escape(run.dir),
    html.escape(tostring(run.about.experiment)), html.escape(run.dir), began, run.status, wall)
  return (is_only and "" or "<hr>") .. head .. result_section(run) .. figures_section(run) .. tables_section(run) .. tasks_section(run)
    .. verdicts_section(run) .. cost_section(run) .. settings_section(run) .. versions_section(run)
end

-- Several runs: first what each came to, side by side.
local function overview(runs)
  local names, seen, rows = {}, {}, {}
  for _, r in ipairs(runs) do
    for _, name in ipairs(errors.keys(get(r.summary, "result") or {})) do
      local v = r.summary.result[name]
      if type(v) == "table" then v = v.value end
      if math.type(v) and not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  for i, r in ipairs(runs) do
    rows[i] = { r.dir, r.status }
    for c, name in ipairs(names) do
      local v = (get(r.summary, "result") or {})[name]
      if type(v) == "table" then v = v.value end
      rows[i][c + 2] = math.type(v) and v or false
    end
  end
  local links = {}
  for i, r in ipairs(runs) do links[i] = ('<a href="#%s">%s</a>'):format(html.escape(r.dir), html.escape(r.dir)) end
  local note = "<p class=\"note\">`vegttt compare` tests runs against each other, and refuses those that differ in what would decide it.</p>\n"
  return "<nav>" .. table.concat(links) .. "</nav>\n" .. html.table(table.move(names, 1, #names, 3, { "run", "status" }), rows, "runs") .. note
end

local function check_place(path, is_forced)
  if core.is_dir(path) then errors.usage("%s is a folder; --out names a file", path) end
  if core.exists(path) and not is_forced and not core.read(path):sub(1, 200):find(mark, 1, true) then
    errors.usage("%s exists and is no page of vegttt report; --force overwrites it", path)
  end
end

local function run(f, words)
  if #words == 0 then errors.usage "report takes runs: folders, \"latest\", or beginnings of stamps that `vegttt ls` lists" end
  check_place(f.out, f.force)
  local runs, is_named = {}, {}
  for _, word in ipairs(words) do
    local dir = run_files.find(word)
    if not is_named[dir] then runs[#runs + 1], is_named[dir] = data.of(dir), true end
  end
  local parts = { #runs > 1 and overview(runs) or "" }
  for _, r in ipairs(runs) do parts[#parts + 1] = run_page(r, #runs == 1) end
  local title = #runs == 1 and ("%s, %s"):format(tostring(runs[1].about.experiment), runs[1].dir) or ("%d runs"):format(#runs)
  local page = html.page(mark, title, table.concat(parts))
  core.write(f.out, page)
  verb.say("%s: %s, %s", f.out, #runs == 1 and runs[1].dir or ("%d runs"):format(#runs), text.bytes(#page))
  return 0
end

function report.main(argv)
  return verb.main(argv, { run = run,
    options = { { "out", "FILE.html", "the page to write", default = "report.html" },
      { "force", nil, "write over a file that is no page of this verb" } },
    help = [[
vegttt report RUN… [--out FILE.html]
  one page that holds everything: result, figures, tables, each task with its best kernel beside the baseline, why
  candidates failed, cost, settings and versions. It fetches nothing and fits a phone, a desk and paper.
  RUN is a folder, "latest", or the beginning of a stamp that `vegttt ls` lists; several are put side by side]] })
end

return report
