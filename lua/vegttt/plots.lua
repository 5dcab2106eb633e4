-- SPDX-License-Identifier: Apache-2.0
--
-- Plots of a run: plots/NAME.svg for people and papers, NAME.csv with the points, and NAME.json with all that was drawn, from
-- which `vegttt plot` draws it again in a terminal. A plot is a chart, or several as the panels of one figure. Rows become
-- series here; engine/plot draws.
local core = require "vegttt.core"
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"
local tables = require "vegttt.tables"

local plots = {}

local op = "run:plot"
local chart_options = { kind = { "line", "bar", "scatter" }, data = "table", x = "string", y = "any", by = "string",
  band = "table", star = "string", logx = "integer", logy = "integer", ref = "any", ref_x = "any", regions = "table",
  brackets = "table", title = "string", x_label = "string", y_label = "string" }
local figure_options = { panels = "table", columns = "integer" }
local region_options = { name = "string", x_lo = "number", x_hi = "number", y_lo = "number", y_hi = "number" }
local bracket_options = { name = "string", from = "any", to = "any" }

-- Raises when a column that a plot names is in none of the rows.
local function need_columns(data, rows, spec)
  local known = {}
  if tables.is(data) then
    for _, name in ipairs(data.columns) do known[name] = true end
  else
    if #rows == 0 then return end -- nothing says which there are
    for _, row in ipairs(rows) do
      if type(row) ~= "table" then
        errors.misuse(op, "run:plot: data is a vt.Table or a list of tables, and has a %s", type(row))
      end
      for name in next, row do known[name] = true end
      if closed.is_record(row) then
        for name in pairs(getmetatable(row).fields) do known[name] = true end
      end
    end
  end
  local named = { spec.x }
  for _, y in ipairs(type(spec.y) == "table" and spec.y or { spec.y }) do named[#named + 1] = y end
  for _, name in ipairs(spec.band or {}) do named[#named + 1] = name end
  named[#named + 1] = spec.by
  named[#named + 1] = spec.star
  for _, name in ipairs(named) do
    if not known[name] then
      local names = {}
      for i, k in ipairs(errors.keys(known)) do names[i] = tostring(k) end
      errors.misuse(op, "run:plot: there is no column '%s'; the columns are %s", tostring(name),
        table.concat(names, ", "))
    end
  end
end

-- Rows as tables of named fields, from a vt.Table or a list of tables.
local function named_rows(data)
  if not tables.is(data) then return data end
  local out = {}
  for i, row in ipairs(data.rows) do
    out[i] = {}
    for c, name in ipairs(data.columns) do out[i][name] = row[c] or nil end
  end
  return out
end

-- Band and star belong to the first column that is drawn.
local function add_point(s, row, spec, y, x, is_first)
  s.x[#s.x + 1] = x
  s.y[#s.y + 1] = tonumber(tables.cell(row[y])) or false
  if s.lo then
    s.lo[#s.lo + 1] = tonumber(tables.cell(row[spec.band[1]])) or false
    s.hi[#s.hi + 1] = tonumber(tables.cell(row[spec.band[2]])) or false
  end
  if is_first and spec.star and row[spec.star] and row[spec.star] ~= "" then s.star = #s.x end
end

local function series_of(rows, spec, position)
  local ys = type(spec.y) == "table" and spec.y or { spec.y }
  local out, by = {}, {}
  for n, y in ipairs(ys) do
    for _, row in ipairs(rows) do
      local label = spec.by and tostring(row[spec.by]) or y
      if spec.by and #ys > 1 then label = label .. " " .. y end
      local s = by[label]
      if not s then
        s = { name = label, x = {}, y = {}, lo = n == 1 and spec.band and {} or nil, hi = n == 1 and spec.band and {} or nil,
          star = 0 }
        by[label] = s
        out[#out + 1] = s
      end
      add_point(s, row, spec, y, position(row), n == 1)
    end
  end
  return out
end

-- Several panels are told apart by their number.
local function csv_of(charts)
  local rows, columns = {}, { "series", "x", "y", "lo", "hi" }
  if #charts > 1 then table.insert(columns, 1, "panel") end
  for n, chart in ipairs(charts) do
    for _, s in ipairs(chart.series) do
      for i = 1, #s.x do
        local row = { s.name, s.x[i], s.y[i], s.lo and s.lo[i] or false, s.hi and s.hi[i] or false }
        if #charts > 1 then table.insert(row, 1, n) end
        rows[#rows + 1] = row
      end
    end
  end
  return core.table_text(columns, rows, "csv", 0)
end

local function numbers(v) return type(v) == "number" and { v } or v end

-- Where a row stands on the x axis: a number, or the place of its name among the bars'.
local function positions(spec)
  local index, categories = {}, spec.kind == "bar" and {} or nil
  return function(v)
    if not categories then return tonumber(v) or errors.misuse(op, "run:plot: column '%s' holds no number", spec.x) end
    local name = tostring(v)
    if not index[name] then
      index[name] = #categories
      categories[#categories + 1] = name
    end
    return index[name]
  end, categories
end

local function brackets_of(spec, position, categories)
  local out, n = {}, categories and #categories
  for i, b in ipairs(spec.brackets or {}) do
    errors.options("run:plot: a bracket", b, bracket_options)
    out[i] = { name = b.name or "", from = position(b.from), to = position(b.to) }
  end
  if n and #categories > n then
    errors.misuse(op, "run:plot: a bracket names '%s', and no bar is called so", categories[n + 1])
  end
  return out
end

-- What engine/plot draws.
local function chart_of(name, spec)
  if not spec.data or not spec.x or not spec.y then errors.misuse(op, "run:plot needs data, x and y") end
  local rows = named_rows(spec.data)
  need_columns(spec.data, rows, spec)
  local position, categories = positions(spec)
  local series = series_of(rows, spec, function(row) return position(tables.cell(row[spec.x])) end)
  for _, r in ipairs(spec.regions or {}) do errors.options("run:plot: a region", r, region_options) end
  return { kind = spec.kind or "line", title = spec.title or name, x_label = spec.x_label or spec.x,
    y_label = spec.y_label or (type(spec.y) == "string" and spec.y or ""), log_x = spec.logx, log_y = spec.logy,
    categories = categories, ref = numbers(spec.ref), ref_x = numbers(spec.ref_x), regions = spec.regions,
    brackets = brackets_of(spec, position, categories), series = series }
end

---The path of the SVG, or nil where nothing of it can be drawn, which is noted in the run's log.
function plots.write(run, name, spec)
  local charts, columns = {}, 1
  if type(spec) == "table" and spec.panels ~= nil then
    errors.options(op, spec, figure_options)
    columns = spec.columns or 2
    for i, panel in ipairs(spec.panels) do charts[i] = chart_of("", errors.options(op, panel, chart_options)) end
    if #charts == 0 then errors.misuse(op, "run:plot: panels is a list of charts, and has none") end
  else
    charts[1] = chart_of(name, errors.options(op, spec, chart_options))
  end
  local base = core.run_path(run.handle, "plots/" .. name)
  core.write(base .. ".csv", csv_of(charts))
  core.write(base .. ".json", core.json_encode { columns = columns, panels = charts })
  local ok, svg = pcall(core.plot_svg, charts, columns)
  if not ok then
    run:note("plot " .. name .. ": " .. tostring(svg))
    return nil
  end
  core.write(base .. ".svg", svg)
  return base .. ".svg"
end

return plots
