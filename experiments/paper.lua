-- SPDX-License-Identifier: Apache-2.0
--- Paper: every table and figure of the papers from recorded runs, the published value beside the reproduced one. What no
--- run gives is "not run", and is never filled. paper/sources.lua says which runs make which item.
local vt = require "vegttt"
local published = require "paper.published"
local reading = require "paper.reading"
local sources = require "paper.sources"

local columns = { "row", "quantity", "published", "reproduced", "sd", "lo", "hi", "n", "of", "runs", "from", "place" }

-- The item's table: reproduced rows with the published value beside them, then published ones that nothing reproduces.
local function write_table(run, item, rows, all)
  local t, is_taken = run:table(item.name, columns), {}
  local function find(row)
    return vt.find(published, function(x) return x[1] == item.id and x[2] == row[1] and x[3] == row[2] end)
  end
  local function add(...)
    t:row(...)
    if select(3, ...) ~= nil and select(3, ...) ~= "" then all:row(item.id, ...) end
  end
  for _, row in ipairs(rows) do
    local p = find(row) or {}
    is_taken[p] = true
    add(row[1], row[2], p[4], row[3], row.sd, row.lo, row.hi, row.n, row.of, row.runs, row.from, p[5])
  end
  for _, p in ipairs(published) do
    if p[1] == item.id and not is_taken[p] then add(p[2], p[3], p[4], "not run", nil, nil, nil, nil, nil, nil, nil, p[5]) end
  end
  if #t.rows == 0 then t:row("", "", nil, "not run") end
  return t
end

local function draw(run, item, rows, refs)
  local points, plot = {}, item.plot
  for _, row in ipairs(rows) do
    points[#points + 1] = { x = plot.kind == "bar" and row[1] or tonumber(row[1]), y = row[3], quantity = row[2],
      lo = row.lo or row[3], hi = row.hi or row[3], star = row.star or "" }
  end
  points = vt.filter(points, function(x) return x.x ~= nil and type(x.y) == "number" and (not plot.logx or x.x > 0) end)
  if #points == 0 then return false end
  if plot.ref then refs[#refs + 1] = plot.ref end
  return nil ~= run:plot(item.name, { kind = plot.kind, data = points, x = "x", y = "y", by = "quantity", band = plot.kind ~= "scatter" and { "lo", "hi" } or nil,
    star = plot.star and "star" or nil, logx = plot.logx, ref = #refs > 0 and refs or nil, title = item.title,
    x_label = plot.x_label or "", y_label = plot.y_label })
end

-- The page: every item with its state and its table.
local function page(items)
  local lines = { "# Tables and figures", "", "`published` is the papers' value, `reproduced` what the recorded runs give; `not run` is never filled.",
    "Two numbers beside each other are of the same thing only where tasks, K, steps, temperature and model are: each item says its own.", "" }
  local function add(...)
    for _, line in ipairs { ... } do lines[#lines + 1] = line end
    lines[#lines + 1] = ""
  end
  for _, item in ipairs(items) do
    add(("## %s: %s"):format(item.id, item.title))
    add(item.state == "text" and "Text of the papers, no numbers." or item.state)
    if #item.missing > 0 then add("Not run: " .. table.concat(item.missing, "; ")) end
    if #item.used > 0 then add(("Made with %s, from %s"):format(table.concat(item.settings, "; "), table.concat(item.used, ", "))) end
    if item.table then add(item.table:markdown()) end
    if item.picture then add(("![%s](%s)"):format(item.title, item.picture)) end
  end
  return table.concat(lines, "\n")
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- One item: its rows, table and picture.
local function make(run, source, pick, all)
  local item = { id = source[1], title = source[2], name = source[1]:gsub("%W+", "_"):gsub("_$", ""), used = {}, missing = {}, settings = {},
    plot = source.plot }
  local rows, refs, seen, n_empty = {}, {}, { used = {}, missing = {}, settings = {} }, 0
  for i = 3, #source do
    local found, of_part = {}, { used = {}, missing = {}, settings = {} }
    reading.rows(source[i], pick, of_part, found)
    local dirs = {}
    for name, set in pairs(of_part) do
      for what in vt.sorted_pairs(set) do
        seen[name][what] = true
        if name == "used" then dirs[#dirs + 1] = what end
      end
    end
    for _, row in ipairs(found) do row.from = table.concat(dirs, " ") end
    if #found == 0 then n_empty = n_empty + 1 end
    if source[i].ref and found[1] then refs[#refs + 1] = found[1][3] end
    table.move(found, 1, source[i].ref and 0 or #found, #rows + 1, rows)
  end
  for name, set in pairs(seen) do
    for what in vt.sorted_pairs(set) do table.insert(item[name], what) end
  end
  local mixed = reading.mixed(item.used)
  if mixed then -- figures of unlike things are none
    rows, refs, item.missing, item.used, item.settings = {}, {}, { mixed .. "; name runs of one with --from" }, {}, {}
  end
  item.state = source.text and "text" or #rows == 0 and "not run" or (n_empty > 0 or #item.missing > 0) and "partial" or "complete"
  if not source.text then item.table = write_table(run, item, rows, all) end
  if item.plot and draw(run, item, rows, refs) then item.picture = ("plots/%s.svg"):format(item.name) end
  if source.drawing then
    item.picture = source.drawing .. ".svg"
    write(run.dir .. "/" .. item.picture, require("paper." .. source.drawing))
  end
  return item
end

return vt.experiment {
  name = "paper",
  doc = "Every table and figure of the papers from recorded runs, published beside reproduced.",
  params = { from = { "runs/*", "recorded runs to read, as a glob" } },

  main = function(run, p)
    local runs = vt.runs(p.from)
    if #runs == 0 then vt.refuse("no recorded runs match %s; experiments make them, and so does vegttt import", p.from) end
    local pick, items, n = reading.picker(runs), {}, { complete = 0, partial = 0, ["not run"] = 0, text = 0 }
    local all = run:table("published", { "item", table.unpack(columns) })
    for i, source in ipairs(sources) do
      run:stage(source[1])
      local item = make(run, source, pick, all)
      n[item.state], items[i] = n[item.state] + 1, item
    end
    write(run.dir .. "/paper.md", page(items))
    local t = run:table("items", { "item", "title", "state", "missing", "runs" })
    for _, item in ipairs(items) do t:row(item.id, item.title, item.state, table.concat(item.missing, "; "), #item.used) end
    return { items = #items, complete = n.complete, partial = n.partial, not_run = n["not run"], text = n.text, runs = #runs }
  end,
}
