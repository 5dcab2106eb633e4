-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt compare A B`: what went into two runs and what came out, side by side, and the difference paired by task. Two
-- sweeps are compared cell by cell. Runs that were measured under other conditions are refused; --force compares them and
-- says so above everything else.
local args = require "vegttt.args"
local compare = require "vegttt.compare"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local group = require "vegttt.compare_group"
local list = require "vegttt.list"
local run_diff = require "vegttt.run_diff"
local run_files = require "vegttt.run_files"
local tables = require "vegttt.tables"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local out = {}

local function say_table(title, columns, rows)
  if #rows == 0 then return end
  local t = tables.new(nil, title, columns)
  for _, row in ipairs(rows) do t:row(table.unpack(row, 1, #columns)) end
  verb.say("\n%s\n%s", title, t:text())
end

-- name -> { a, b } of the scalars of two tables.
local function scalars(a, b)
  local names, rows = {}, {}
  for _, t in ipairs { a or {}, b or {} } do
    for name, v in pairs(t) do
      local is_scalar = type(v) == "number" or type(v) == "string" or type(v) == "table" and type(v.value) == "number"
      if is_scalar then names[name] = true end
    end
  end
  local function value(t, name)
    local v = t and t[name]
    if type(v) == "table" then v = v.value end
    return text.short(v)
  end
  for _, name in ipairs(errors.keys(names)) do
    local x, y = value(a, name), value(b, name)
    rows[#rows + 1] = { name, x, y, type(x) == "number" and type(y) == "number" and y - x or nil }
  end
  return rows
end

local function costs(a, b)
  local rows = {}
  for _, kind in ipairs { "charged", "spent" } do
    local x, y = a.summary and a.summary.meter[kind], b.summary and b.summary.meter[kind]
    for _, row in ipairs(scalars(type(x) == "table" and x or {}, type(y) == "table" and y or {})) do
      if row[2] ~= 0 or row[3] ~= 0 then
        row[1] = row[1] .. " " .. kind
        rows[#rows + 1] = row
      end
    end
  end
  rows[#rows + 1] = { "wall_s of the last attempt", a.summary and a.summary.wall_s, b.summary and b.summary.wall_s }
  return rows
end

-- Everything about one pair of sides, as data. A side's runs, and how they were named.
local function pair(a_dirs, b_dirs, a_word, b_word)
  local part = compare.part(table.move(b_dirs, 1, #b_dirs, #a_dirs + 1, table.move(a_dirs, 1, #a_dirs, 1, {})))
  local a, b = group.side(a_dirs, a_word, part), group.side(b_dirs, b_word, part)
  local a_dir, b_dir = a_dirs[1], b_dirs[1]
  local rows, notes = compare.pairs(a, b)
  local about = list.find(compare.parts, function(x) return x[1] == part end)
  table.insert(notes, 1, ("of both sides the part '%s' is compared: %s"):format(part, about[2]))
  for i, side in ipairs { a, b } do
    local name = i == 1 and "A" or "B"
    if side.dirs then
      notes[#notes + 1] = ("%s is %d runs, averaged within each task: the task is the unit, not the run"):format(name, #side.dirs)
    end
    if side.step then
      notes[#notes + 1] = ("%s is step %s, which its run chose"):format(name, args.show(side.step))
    end
    if side.n_unjudged > 0 then
      notes[#notes + 1] = ("%d samples of %s have no verdict yet and are left out"):format(side.n_unjudged, name)
    end
    if side.n_timed_elsewhere > 0 then
      notes[#notes + 1] = ("%d verdicts of %s were timed in other runs"):format(side.n_timed_elsewhere, name)
    end
    if side.status ~= "finished" then notes[#notes + 1] = ("%s is %s"):format(name, side.status) end
  end
  local params, n_equal = run_diff.params(a_dir, b_dir)
  local read = run_diff.inputs(a_dir, b_dir)
  read[#read + 1] = run_diff.engines(run_diff.engine(a.about), run_diff.engine(b.about))
  local differences = {}
  for i, metric in ipairs(compare.metrics) do differences[i] = compare.difference(rows, metric) end
  return { a = a, b = b, rows = rows, notes = notes, params = params, n_equal = n_equal, read = read,
    differences = differences, budgets = compare.budgets(a, b), conditions = compare.conditions(a, b) }
end

-- ── one pair as text and as JSON ─────────────────────────────────────────────────────────────────────────────────────

local function say_forced(problems)
  for _, p in ipairs(problems) do verb.say("FORCED  not measured alike, %s", p) end
end

local function difference_row(d)
  return { d.metric, d.n, d.a, d.b, d.difference, d.lo, d.hi, d.n_better, d.n_ties, d.n_worse, d.p }
end

local function say_budgets(budgets)
  local rows, unmatched = {}, {}
  for i, x in ipairs(budgets) do
    rows[i] = { x.unit, x.a, x.b, x.ratio, x.is_matched and "yes" or "no" }
    if not x.is_matched then unmatched[#unmatched + 1] = x.unit end
  end
  say_table("budgets, as if each side ran alone (charged)", { "unit", "A", "B", "B / A", "matched" }, rows)
  if #unmatched > 0 then
    verb.say("  not matched: %s; a difference may be one of effort", table.concat(unmatched, ", "))
  end
end

local function say_tests(differences)
  local rows = {}
  for _, d in ipairs(differences) do
    local t = d.tests
    if t.sign then
      rows[#rows + 1] = { d.metric, t.sign.p, t.sign.p_min, t.wilcoxon.p, t.wilcoxon.p_min, t.wilcoxon.value, t.permutation.p,
        t.permutation.p_min, t.effect.value, t.effect.name }
    end
  end
  say_table("paired tests", { "metric", "sign", "at least", "wilcoxon", "at least", "median", "permutation", "at least", "effect", "size" }, rows)
end

local difference_columns = { "metric", "tasks", "A", "B", "B - A", "lo", "hi", "B better", "ties", "A better", "p" }

local function say_pair(c, metric)
  say_forced(c.conditions)
  for i, side in ipairs { c.a, c.b } do
    verb.say("%s  %s: %s, %s, %d samples of %d tasks", i == 1 and "A" or "B", side.dir, side.experiment, side.status,
      side.n, #errors.keys(side.tasks))
  end
  local rows = {}
  for i, p in ipairs(c.params) do rows[i] = { p.name, p.a ~= nil and args.show(p.a) or "", p.b ~= nil and args.show(p.b) or "" } end
  say_table(("parameters that differ (%d are equal)"):format(c.n_equal), { "name", "A", "B" }, rows)
  if #c.read > 0 then verb.say("\nfrom A to B: %s", table.concat(c.read, ", ")) end
  say_table("results", { "name", "A", "B", "B - A" }, scalars(c.a.summary and c.a.summary.result,
    c.b.summary and c.b.summary.result))
  say_budgets(c.budgets)
  say_table("costs", { "name", "A", "B", "B - A" }, costs(c.a, c.b))
  rows = {}
  for i, r in ipairs(c.rows) do
    rows[i] = { r.task, r.name, r.a.n, r.b.n, r.a[metric], r.b[metric], r.b[metric] - r.a[metric] }
  end
  say_table(("%s by task"):format(metric), { "task", "name", "n A", "n B", "A", "B", "B - A" }, rows)
  rows = {}
  for i, d in ipairs(c.differences) do rows[i] = difference_row(d) end
  say_table("paired by task", difference_columns, rows)
  verb.say("\n  lo hi  95 % interval of B - A, bootstrap over tasks; p  exact two-sided sign test over tasks, ties left out")
  say_tests(c.differences)
  verb.say("\n  at least  the smallest p that so many pairs can give; median  Hodges-Lehmann difference; permutation  of signs")
  for _, note in ipairs(c.notes) do verb.say("  %s", note) end
end

local function side_json(s)
  return { run = s.dir, runs = s.dirs and core.array(s.dirs), experiment = s.experiment, status = s.status, part = s.part, step = s.step, samples = s.n,
    result = s.summary and s.summary.result, meter = s.summary and s.summary.meter, engine = run_diff.engine(s.about) }
end

local function pair_json(c)
  local rows = {}
  for i, r in ipairs(c.rows) do
    rows[i] = { task = r.task, name = r.name }
    for name, t in pairs { a = r.a, b = r.b } do
      rows[i][name] = { n = t.n, correct = t.correct, fast_1 = t.fast_1, fast_1_sure = t.fast_1_sure, speedup = t.speedup }
    end
  end
  return { a = side_json(c.a), b = side_json(c.b), params = core.array(c.params), n_equal_params = c.n_equal,
    changed = core.array(c.read), forced = core.array(c.conditions), tasks = core.array(rows),
    differences = core.array(c.differences), budgets = core.array(c.budgets), notes = core.array(c.notes) }
end

-- ── sweeps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local function refuse(problems)
  errors.usage("A and B were not measured alike (%s); --force compares them all the same", table.concat(problems, "; "))
end

local function all_conditions(list)
  local known, problems = {}, {}
  for _, c in ipairs(list) do
    for _, p in ipairs(c.conditions) do
      if not known[p] then
        known[p] = true
        problems[#problems + 1] = p
      end
    end
  end
  return problems
end

local function compare_cells(f, a, b, cells)
  local found, n_alone, axes = compare.cells(cells[a], cells[b])
  if #found == 0 then errors.usage("%s and %s have no cell with the same %s", a, b, table.concat(axes, ", ")) end
  local list = {}
  for i, cell in ipairs(found) do
    list[i] = pair({ cell.a }, { cell.b })
    list[i].cell = cell.params
  end
  local problems = all_conditions(list)
  if #problems > 0 and not f.force then refuse(problems) end
  if f.json then
    local json = {}
    for i, c in ipairs(list) do
      json[i] = pair_json(c)
      json[i].cell = c.cell
    end
    core.out(core.json_encode { a = a, b = b, cells = core.array(json), n_alone = n_alone, forced = core.array(problems) }
      .. "\n")
    return 0
  end
  say_forced(problems)
  verb.say("A  %s: %d cells\nB  %s: %d cells", a, #cells[a], b, #cells[b])
  local columns, rows = table.move(axes, 1, #axes, 1, {}), {}
  table.move(difference_columns, 2, #difference_columns, #columns + 1, columns)
  for i, c in ipairs(list) do
    rows[i] = {}
    for j, name in ipairs(axes) do rows[i][j] = c.cell[name] ~= core.null and args.show(c.cell[name]) or nil end
    local d = difference_row(compare.difference(c.rows, f.metric))
    table.move(d, 2, #d, #axes + 1, rows[i])
  end
  say_table(("%s by cell, paired by task"):format(f.metric), columns, rows)
  if n_alone > 0 then verb.say("  %d cells are in one of the two alone", n_alone) end
  return 0
end

local function run(f, words)
  if #words ~= 2 then errors.usage "compare takes two runs: folders, \"latest\", or the beginnings of stamps" end
  local of_a, of_b = group.dirs(words[1]), group.dirs(words[2])
  local a, b, is_of_a = of_a[1], of_b[1], {}
  for _, dir in ipairs(of_a) do is_of_a[dir] = true end
  for _, dir in ipairs(of_b) do
    if is_of_a[dir] then errors.usage("A and B are the same run, %s", dir) end
  end
  local cells = #of_a == 1 and #of_b == 1 and run_files.cells(run_files.all()) or {}
  if cells[a] and cells[b] then return compare_cells(f, a, b, cells) end
  if cells[a] or cells[b] then
    errors.usage("%s is a sweep and %s is none; name one of its cells", cells[a] and a or b, cells[a] and b or a)
  end
  local c = pair(of_a, of_b, words[1], words[2])
  if #c.rows == 0 and c.a.n + c.b.n > 0 then
    errors.usage("%s and %s have no task in common of which both have verdicts, so nothing can be paired%s", words[1],
      words[2], #c.notes > 0 and " (" .. table.concat(c.notes, "; ") .. ")" or "")
  end
  if #c.conditions > 0 and not f.force then refuse(c.conditions) end
  if f.json then core.out(core.json_encode(pair_json(c)) .. "\n") else say_pair(c, f.metric) end
  return 0
end

function out.main(argv)
  return verb.main(argv, { max_words = 2, run = run,
    options = { { "metric", "NAME", "what the tables of tasks and of cells show", choices = compare.metrics,
      default = "fast_1_sure" },
      { "force", nil, "also runs that were not measured alike; said in the output" },
      { "json", nil, "everything as one JSON object" } },
    help = [[
vegttt compare A B   two runs side by side: parameters, results, costs, and B - A paired by task
  A and B are folders, "latest", or prefixes of stamps that `vegttt ls` lists; two sweeps are compared cell by cell; a glob
  like 'boa/2026*' is several runs that differ in the seed, averaged within each task

The task is the unit: fast_1_sure, fast_1 and correct are shares of a task's samples, speedup is its best first verdict
(0 where none is correct). Like is compared with like, and the output says which: of a run that chose a step the fresh draw
of it, where the other side has one or chose nothing, else what both chose, else all samples of both. Runs of other protocols, machine classes, evaluators, models or prompts are refused.]] })
end

return out
