-- SPDX-License-Identifier: Apache-2.0
--
-- Sweeps: one experiment over the cells of a grid, each cell a run of its own that is read back when it is finished. It is
-- carried out in a Lua state of its own (cell.lua), and what it gives is what its summary says, now as later. A
-- cell that fails is said on stderr and listed with .error, and the others go on; the run then ends as failed when main
-- is done, so that its next start tries those cells again, unless keep_going = true says that they may fail. A cell shows
-- its result and its parameters by name; what cells cost is the sweep's cost too. `vegttt FILE.lua --lr 1e-3,1e-4` is a sweep that nobody had to write.
local args = require "vegttt.args"
local cell = require "vegttt.cell"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local list = require "vegttt.list"
local params = require "vegttt.params"
local results = require "vegttt.results"
local run = require "vegttt.run"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local cells_methods = {}

---for value, cells in cells:group_by "lr" do
function cells_methods:group_by(name)
  local groups = list.group_by(self, function(c) return c.params[name] end)
  local i = 0
  return function()
    i = i + 1
    if groups[i] then return groups[i].key, groups[i] end
  end
end

local Cells = closed.class("vt.Cells", "cells", { "failed" }, cells_methods)

-- The values of every cell, { values, origins, given }: what is wrong with one is said before any runs.
local function resolve_cells(e, grid, fixed)
  local out = {}
  for i, c in ipairs(grid) do
    if type(c) ~= "table" then
      errors.misuse("run:sweep", "run:sweep: cell %d of the grid is a %s, not a table of parameters", i, type(c))
    end
    local given = {}
    for k, v in pairs(fixed or {}) do given[k] = v end
    for k, v in pairs(c) do given[k] = v end
    local ok, values, origins = pcall(params.resolve, e.params, given, "sweep")
    if not ok and errors.is(values) and values.kind == "usage" then
      errors.misuse("run:sweep", "run:sweep: cell %d of the grid: %s", i, values.message)
    end
    if not ok then error(values, 0) end
    out[i] = { values = values, origins = origins, given = given }
  end
  return out
end

-- "lr = 0.1, seed = 2"
local function cell_name(c)
  local parts = {}
  for i, k in ipairs(errors.keys(c.given)) do parts[i] = ("%s = %s"):format(k, args.show(c.values[k])) end
  return #parts > 0 and table.concat(parts, ", ") or "the only one"
end

-- The runs that a cell of `parent` is a part of.
local function with_parents(parent)
  local above = parent.options.parents or {}
  local out = table.move(above, 1, #above, 1, {})
  out[#out + 1] = { id = parent.id, dir = parent.dir }
  return out
end

-- A cell may use what is left of its parent's budget: with one, cells run one after another.
local function limits_in(parent, rest)
  local limits = {}
  for k, v in pairs(parent.limits) do limits[k] = v end
  limits.max_rollouts, limits.max_drawn, limits.max_spend = rest.charged, rest.drawn, rest.usd
  return limits
end

-- The run of a cell may be a cell of other sweeps too, and knows only the first: each sweep says which are its own.
local function note_cell(parent, dir, c)
  local key = "cell/" .. dir
  if not parent.record:get(key) then parent.record:put(key, { name = cell_name(c) }) end
end

-- { params, dir, result } of a cell that ran, { params, error, cause } of one that did not.
local function run_cell(parent, made_by, c)
  local values, meter, rest = c.values, parent.meter, {}
  for _, kind in ipairs { "charged", "drawn", "usd" } do rest[kind] = meter:hold_rest(kind, "run:sweep") end
  local ok, report = pcall(cell.run, parent, { experiment = made_by, given = c.given, name = cell_name(c),
    root = parent.options.root, replicate = parent.replicate, fresh = parent.options.fresh, limits = limits_in(parent, rest),
    parents = with_parents(parent), argv = parent.options.argv })
  for kind, n in pairs(rest) do meter:release(kind, n) end
  if ok and report.charged then
    if report.dir then report.spent.usd = run.paid(report.dir) end -- in all its attempts, of which the parent saw this one
    parent:charge(report.charged)
    parent.meter:spend(report.spent)
    parent:resolve_from_cell(report.origins)
  end
  local dir = ok and report.dir or nil
  if dir then note_cell(parent, dir, c) end
  if ok and report.status == "rehearsed" then return { params = values, result = {} } end
  if ok and report.status == "done" then
    local summary = results.revive(core.json_decode(report.summary, dir .. "/summary.json"))
    return { params = values, dir = dir, result = summary.result }
  end
  local cause = not ok and report or errors.new(report.error)
  if errors.is(cause) and cause.kind == "cancelled" then error(cause, 0) end
  local why = errors.is(cause) and type(cause.cause) == "string" and cause.cause or tostring(cause)
  core.err(("vegttt: the cell %s failed: %s\n"):format(cell_name(c), (why:gsub("%s*\n%s*", " "))))
  return { params = values, dir = dir, error = why, cause = cause, result = {} }
end

-- What the run ends with: trouble of the machine, which a later start may not meet, before errors of scripts.
local function note_failures(r, rows)
  for _, row in ipairs(rows) do
    if row.cause then
      local failed = r.failed_cells or { n = 0, n_cells = 0, kind = "script", first = row.error }
      local kind = errors.is(row.cause) and row.cause.kind
      failed.n = failed.n + 1
      local is_worse = kind == "infrastructure" and failed.kind ~= kind or kind == "budget" and failed.kind == "script"
      if is_worse then failed.kind, failed.first = kind, row.error end
      r.failed_cells = failed
    end
  end
  if r.failed_cells then r.failed_cells.n_cells = r.failed_cells.n_cells + #rows end
end

-- Cells as records: the result's fields and the parameters, a result first where both have a name.
local function open_cells(rows)
  local names = { "params", "dir", "error" }
  for _, row in ipairs(rows) do
    for k in pairs(row.result) do names[#names + 1] = k end
    for k in pairs(row.params) do names[#names + 1] = k end
  end
  local cells = { failed = 0 }
  for i, row in ipairs(rows) do
    local c = {}
    for k, v in pairs(row.params) do c[k] = v end
    for k, v in pairs(row.result) do c[k] = v end
    c.params, c.dir, c.error = row.params, row.dir, row.error
    cells[i] = closed.record("a cell", c, names)
    if row.error then cells.failed = cells.failed + 1 end
  end
  return setmetatable(cells, Cells)
end

---Cells that failed in sweeps that did not allow it: the run is not finished, and tries them again when it is asked for.
function run.class:need_cells()
  local failed = self.failed_cells
  if not failed then return end
  errors.raise(failed.kind, "run:sweep", ("%d of %d cells failed; the same command tries them again. The first%s: %s")
    :format(failed.n, failed.n_cells, failed.kind == "script" and "" or " of kind " .. failed.kind, failed.first), { cause = failed.first })
end

---Runs e once per cell of the grid, each in its own run directory; a failed cell is listed with .error, and the run
---does not finish unless keep_going = true.
function run.class:sweep(e, grid, o)
  sched.need "run:sweep"
  o = errors.options("run:sweep", o, { fixed = "table", jobs = "integer", on = { "local" }, keep_going = "boolean" })
  if not experiment.is(e) then
    errors.misuse("run:sweep", "run:sweep needs an experiment (vt.load \"file.lua\"), not a %s", type(e))
  end
  if type(grid) ~= "table" then
    errors.misuse("run:sweep", "run:sweep needs a list of cells (vt.grid { lr = … }), not a %s", type(grid))
  end
  local n_begun, resolved = 0, resolve_cells(e, grid, o.fixed)
  local made_by = cell.experiment(e)
  local rows = sched.map(resolved, function(c)
    n_begun = n_begun + 1
    self:stage(("cell %d of %d"):format(n_begun, #grid))
    return run_cell(self, made_by, c)
  end, { limit = o.jobs or 1 })
  if not o.keep_going then note_failures(self, rows) end
  if session.flags.scratch then -- of cells that were rehearsed nothing can be read
    self:need_cells()
    sched.gate "run:sweep"
  end
  return open_cells(rows)
end

-- ── from the command line ────────────────────────────────────────────────────────────────────────────────────────────

local sweep = {}

-- Does the text give several values to a parameter that takes one?
local function is_axis(d, given)
  if d.list or not given:find(",", 1, true) then return false end
  local kind = params.kind(d)
  return kind == "integer" or kind == "number" or kind == "boolean" or d.choices ~= nil
end

-- Every value of an axis once: a gap and a value that is there already are slips of the hand.
local function check_axis(name, given)
  local known = {}
  for item in (given .. ","):gmatch "([^,]*)," do
    local value = item:match "^%s*(.-)%s*$"
    if value == "" then errors.usage("--%s %s: a value is missing between commas", name, given) end
    value = tonumber(value) or value
    if known[value] then errors.usage("--%s %s: %s stands there twice", name, given, item) end
    known[value] = true
  end
end

-- The columns of what cells gave: names of scalars, in order.
local function scalars_of(cells)
  local names = {}
  for _, c in ipairs(cells) do
    for k, v in pairs(c) do
      local is_own = k == "params" or k == "dir" or k == "error" or rawget(c.params, k) ~= nil
      if not is_own and (type(v) == "number" or type(v) == "string") then names[k] = true end
    end
  end
  return errors.keys(names)
end

local function write_table(r, cells, axes)
  local results = scalars_of(cells)
  local columns = table.move(axes, 1, #axes, 1, {})
  table.move(results, 1, #results, #columns + 1, columns)
  columns[#columns + 1] = "run"
  local out = r:table("cells", columns)
  for _, c in ipairs(cells) do
    local row = {}
    for i, name in ipairs(axes) do row[i] = c.params[name] end
    for i, name in ipairs(results) do row[#axes + i] = rawget(c, name) end
    row[#columns] = c.error and "failed: " .. c.error or c.dir
    out:row(table.unpack(row, 1, #columns))
  end
end

local function plan_of(e, grid, fixed)
  local sum = { samples = 0, evaluations = 0, updates = 0 }
  for _, c in ipairs(grid) do
    local given = {}
    for k, v in pairs(fixed) do given[k] = v end
    for k, v in pairs(c) do given[k] = v end
    local plan = e.plan((params.resolve(e.params, given, "sweep")))
    for k in pairs(sum) do sum[k] = sum[k] + (plan[k] or 0) end
  end
  return sum
end

---e over every combination of the values that `given` (name -> text) holds for parameters of one value: an experiment
---NAME_sweep, or nil when there is none such.
function sweep.of(e, given)
  local axes, declared, fixed = {}, {}, {}
  for name, d in pairs(e.params) do
    declared[name] = d
    local text = given[name]
    if text and is_axis(d, text) then
      check_axis(name, text)
      axes[#axes + 1] = name
      declared[name] = { nil, d[2], list = true, type = params.kind(d), min = d.min, above = d.above, max = d.max,
        choices = d.choices }
    elseif text then
      fixed[name] = text
    end
  end
  if #axes == 0 then return nil end
  table.sort(axes)
  local function grid_of(p)
    local values = {}
    for _, name in ipairs(axes) do values[name] = p[name] end
    return list.grid(values)
  end
  local s = experiment.new { name = e.name .. "_sweep", doc = ("%s over %s."):format(e.name, table.concat(axes, ", ")),
    params = declared, plan = e.plan and function(p) return plan_of(e, grid_of(p), fixed) end,
    main = function(r, p)
      local cells = r:sweep(e, grid_of(p), { fixed = fixed })
      write_table(r, cells, axes)
      return { cells = #cells }
    end }
  s.file, s.text = e.file, e.text
  return s
end

return sweep
