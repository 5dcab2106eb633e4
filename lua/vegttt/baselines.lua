-- SPDX-License-Identifier: Apache-2.0
--
-- What PyTorch eager takes for a task on a class of GPU: papers give speedups over it, the cuda tier measures them over
-- the task's shown text, and the two meet here:
--
--   speedup over eager = (shown text / candidate, measured now) * (eager / shown text, from the table)
--
-- Tables come with vegttt (lua/baselines/MACHINE.lua) and from `vegttt baseline`, which writes the same rows as JSON lines
-- and is believed first. A row counts for its own card and its own sizes: they are written out in it, so that a task whose
-- sizes have changed has none.
local core = require "vegttt.core"
local session = require "vegttt.session"

local baselines = {}

---The file of a machine's own measurements.
function baselines.path(machine)
  local _, store = session.content()
  return store and ("%sbaselines/%s.jsonl"):format(store:gsub("[^/]*/*$", ""), (machine:gsub("[^%w]+", "_")))
end

---"m=4096 n=512": the sizes of a task at a scale, as a row writes them.
function baselines.sizes(task, scale)
  local sizes = (core.json_decode(task.json, "a task").sizes or {})[scale]
  local names = {}
  for name in pairs(sizes or {}) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = ("%s=%d"):format(name, sizes[name]) end
  return table.concat(names, " ")
end

local function own_rows(machine)
  local rows, path = {}, baselines.path(machine)
  for line in (path and core.exists(path) and core.read(path) or ""):gmatch "[^\n]+" do
    rows[#rows + 1] = core.json_decode(line, path)
  end
  return rows
end

local function shipped_rows(machine)
  local name = ("baselines/%s.lua"):format((machine:lower():gsub("[^%w]+", "_")))
  for _, file in ipairs(core.embedded "baselines/") do
    if file == name then return load(core.embedded_text(file), file, "t", { ipairs = ipairs })() end
  end
  return {}
end

local function find(rows, task, scale)
  local sizes, found = baselines.sizes(task, scale), nil
  for _, row in ipairs(rows) do
    if row.task == task.id and row.sizes == sizes and row.us then found = row end
  end
  return found
end

---The row for a record of the cuda tier ("NVIDIA_H200_driver-13.0"), or nil.
function baselines.of(task, record)
  if record.tier ~= "cuda" then return nil end
  local machine = record.machine:gsub("_driver.*$", ""):gsub("_", " ")
  return find(own_rows(machine), task, record.scale) or find(shipped_rows(machine), task, record.scale)
end

return baselines
