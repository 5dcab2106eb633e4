-- SPDX-License-Identifier: Apache-2.0
--
-- Sweeps: one experiment over the cells of a grid, each cell a run of its own that is read back when it is finished. A
-- cell that fails is listed with .error and the others go on. A cell shows its result and its parameters by name.
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
      limits = parent.limits, within = parent, argv = parent.options.argv })
    dir = r.dir
    local stored = r:stored_result()
    if stored then
      r:close()
      return stored
    end
    return attempt.carry_out_inside(r)
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
  local cells = open_cells(sched.map(grid, function(cell) return run_cell(self, e, cell, o) end,
    { limit = o.jobs or 1 }))
  if cells.failed > 0 and o.keep_going == false then
    errors.raise("script", "run:sweep", ("%d of %d cells failed; the first: %s"):format(cells.failed, #cells,
      list.find(cells, "error").error))
  end
  return cells
end
