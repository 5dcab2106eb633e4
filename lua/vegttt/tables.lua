-- SPDX-License-Identifier: Apache-2.0
--
-- Tables of a run: tables/NAME.csv and .md. They are written when the run ends and at every row, so that a run that is
-- watched, or cut short, has them.
local args = require "vegttt.args"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local text = require "vegttt.text"

local tables = { small_print = "statistics" } -- of every run that has statistics: it is in files, not on the screen

local Table = {}
local class = closed.class("vt.Table", "a table", { "run", "name", "columns", "rows" }, Table)

local function is_statistic(v) return type(v) == "table" and rawget(v, "value") ~= nil end

---A value as a table holds it: a number, a text, or false.
function tables.cell(v)
  if is_statistic(v) then v = v.value end
  if type(v) == "number" or type(v) == "string" then return v end
  if v == nil then return false end
  return type(v) == "table" and #v > 0 and args.show(v) or tostring(v)
end

function tables.is(v) return getmetatable(v) == class end

function tables.new(run, name, columns)
  return setmetatable({ run = run, name = name, columns = columns, rows = {} }, class)
end

---t:row(…): one value per column; a statistic may fill several (value, lo, hi) when it is last.
function Table:row(...)
  local given = table.pack(...)
  local row = {}
  for i = 1, given.n do row[#row + 1] = tables.cell(given[i]) end
  local last = given[given.n]
  if given.n < #self.columns and is_statistic(last) then
    local extra = { sd = last.sd or false, lo = last.lo or false, hi = last.hi or false, n = last.n or false }
    for i = given.n + 1, #self.columns do row[i] = extra[self.columns[i]] or false end
  end
  if #row > #self.columns then
    errors.misuse("table:row", "table:row: %d values for the %d columns of '%s'", #row, #self.columns, self.name)
  end
  for i = #row + 1, #self.columns do row[i] = false end
  self.rows[#self.rows + 1] = row
end

function Table:csv() return core.table_text(self.columns, self.rows, "csv", 0) end
function Table:markdown() return core.table_text(self.columns, self.rows, "markdown", 4) end

local function show(v)
  if v == false or v ~= v then return "" end
  return text.value(v, 3)
end

---For people: aligned columns.
function Table:text()
  local widths, lines = {}, {}
  for c, name in ipairs(self.columns) do
    widths[c] = #name
    for _, row in ipairs(self.rows) do widths[c] = math.max(widths[c], #show(row[c])) end
  end
  local function line(values)
    local parts = {}
    for c = 1, #self.columns do
      local shown = show(values[c])
      parts[c] = (" "):rep(widths[c] - #shown) .. shown
    end
    lines[#lines + 1] = "  " .. table.concat(parts, "  ")
  end
  line(self.columns)
  for _, row in ipairs(self.rows) do line(row) end
  return table.concat(lines, "\n")
end

-- What columns mean where their name does not say it: { column, another one that stands beside it when it means that,
-- how it is shown, the meaning }.
local meanings = {
  { "lo", "hi", "lo hi", "95 % interval of the column before them, from eight tasks on" },
  { "fast_1", "fast_1", "fast_1", "correct and timed faster than the baseline, copies included" },
  { "fast_1_sure", "fast_1_sure", "fast_1_sure", "the whole interval above 1, no copy, not flagged" },
  { "sample_fast_1", "sample_fast_1", "sample_*", "share of samples, mean over tasks" },
  { "seen", "fast_1", "seen", "the start weights were trained on this task, or on its family" },
  { "distinct", "sample_fast_1", "distinct", "different codes over samples" },
  { "no_copies", "per_code", "no_copies", "sample_fast_1_sure of the samples that are no copies" },
  { "per_code", "no_copies", "per_code", "sample_fast_1_sure of each different code once" },
  { "best", "sample_fast_1", "best", "* is the step that was chosen: a maximum over the data that it is scored on, so too high on average" },
  { "first", "tried", "first", "the speedup by which the kernel was found; speedup is that of its second verdict" },
  { "tried", "first", "tried", "kernels that were judged again until one held" },
  { "pass", "best_of_k", "pass", "probability that one of k samples is fast_1" },
  { "best_of_k", "pass", "best_of_k", "expected speedup of the fastest of k samples" },
}

---What those columns mean that need it, a line each; "" where none does. columns_of: the names of each table's.
function tables.legend(columns_of)
  local lines, is_said = {}, {}
  for _, m in ipairs(meanings) do
    for _, columns in ipairs(columns_of) do
      local has = {}
      for _, name in ipairs(columns) do has[name] = true end
      if has[m[1]] and has[m[2]] and not is_said[m] then
        is_said[m] = true
        lines[#lines + 1] = ("  %-12s %s"):format(m[3], m[4])
      end
    end
  end
  return table.concat(lines, "\n")
end

---The columns of a table that was written as Markdown.
function tables.columns_of_markdown(table_text)
  local columns = {}
  for column in table_text:match "^[^\n]*":gmatch "[^|]+" do
    column = column:match "^%s*(.-)%s*$"
    if column ~= "" then columns[#columns + 1] = column end
  end
  return columns
end

---All of them, as a page.
function tables.page()
  local lines = { "Columns whose name does not say what they hold:", "" }
  for _, m in ipairs(meanings) do lines[#lines + 1] = ("  %-12s %s"):format(m[3], m[4]) end
  return table.concat(lines, "\n") .. "\n"
end

---Writes all tables of a run.
function tables.write(run)
  for _, name in ipairs(run.table_order) do
    local t = run.tables[name]
    core.write(core.run_path(run.handle, "tables/" .. name .. ".csv"), t:csv())
    core.write(core.run_path(run.handle, "tables/" .. name .. ".md"), t:markdown())
  end
end

return tables
