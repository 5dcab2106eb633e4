-- SPDX-License-Identifier: Apache-2.0
--
-- Sweeps: one experiment over the cells of a grid, each cell a run of its own that is read back when it is finished. A
-- cell that fails is listed with .error and the others go on. A cell shows its result and its parameters by name; what
-- cells cost is the sweep's cost too. `vegttt FILE.lua --lr 1e-3,1e-4` is a sweep that nobody had to write.
local attempt = require "vegttt.attempt"
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local list = require "vegttt.list"
local params = require "vegttt.params"
local run = require "vegttt.run"
local sched = require "vegttt.sched"

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

-- { params, dir, result } of a cell that ran, { params, error } of one that did not.
local function run_cell(parent, e, cell, o)
  local given = {}
  for k, v in pairs(o.fixed or {}) do given[k] = v end
  for k, v in pairs(cell) do given[k] = v end
  local values, dir
  local ok, result = pcall(function()
    local origins
    values, origins = params.resolve(e.params, given, "sweep")
    local r = attempt.open(e, values, origins, { root = parent.options.root, replicate = parent.replicate,
      fresh = parent.options.fresh, limits = parent.limits, within = parent, argv = parent.options.argv,
      progress = parent.progress })
    dir = r.dir
    local stored = r:stored_summary()
    if stored then
      r:close()
      parent:charge(stored.meter.charged)
      return stored.result
    end
    local done, value = pcall(attempt.carry_out_inside, r)
    parent:charge(r.meter.charged)
    parent.meter:spend(r.meter.spent)
    if not done then error(value, 0) end
    return value
  end)
  if ok then return { params = values, dir = dir, result = result or {} } end
  if errors.is(result) and result.kind == "cancelled" then error(result, 0) end
  return { params = values or closed.record("params", given, errors.keys(given)), dir = dir, error = tostring(result),
    result = {} }
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
    local cell = {}
    for k, v in pairs(row.params) do cell[k] = v end
    for k, v in pairs(row.result) do cell[k] = v end
    cell.params, cell.dir, cell.error = row.params, row.dir, row.error
    cells[i] = closed.record("a cell", cell, names)
    if row.error then cells.failed = cells.failed + 1 end
  end
  return setmetatable(cells, Cells)
end

---Runs e once per cell of the grid, each in its own run directory; a failed cell is listed with .error.
function run.class:sweep(e, grid, o)
  sched.need "run:sweep"
  o = errors.options("run:sweep", o, { fixed = "table", jobs = "integer", on = { "local" }, keep_going = "boolean" })
  if not experiment.is(e) then
    errors.misuse("run:sweep", "run:sweep needs an experiment (vt.load \"file.lua\"), not a %s", type(e))
  end
  if type(grid) ~= "table" then
    errors.misuse("run:sweep", "run:sweep needs a list of cells (vt.grid { lr = … }), not a %s", type(grid))
  end
  local n_begun = 0
  local cells = open_cells(sched.map(grid, function(cell)
    n_begun = n_begun + 1
    self:stage(("cell %d of %d"):format(n_begun, #grid))
    return run_cell(self, e, cell, o)
  end, { limit = o.jobs or 1 }))
  if cells.failed > 0 and o.keep_going == false then
    errors.raise("script", "run:sweep", ("%d of %d cells failed; the first: %s"):format(cells.failed, #cells,
      list.find(cells, "error").error))
  end
  return cells
end

-- ── from the command line ────────────────────────────────────────────────────────────────────────────────────────────

local sweep = {}

-- Does the text give several values to a parameter that takes one?
local function is_axis(d, given)
  if d.list or not given:find(",", 1, true) then return false end
  local kind = params.kind(d)
  return kind == "integer" or kind == "number" or kind == "boolean" or d.choices ~= nil
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
  for _, cell in ipairs(grid) do
    local given = {}
    for k, v in pairs(fixed) do given[k] = v end
    for k, v in pairs(cell) do given[k] = v end
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
      if cells.failed > 0 then
        errors.raise("script", "sweep", ("%d of %d cells failed; the same command tries them again. The first: %s"):format(
          cells.failed, #cells, list.find(cells, "error").error))
      end
      return { cells = #cells }
    end }
  s.file, s.text = e.file, e.text
  return s
end

return sweep
