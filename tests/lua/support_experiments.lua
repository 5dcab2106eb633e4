-- SPDX-License-Identifier: Apache-2.0
--
-- How tests of the shipped experiments run them: on the small model and the small tasks, in a folder of their own.
local support = require "support"

local experiments = {}

-- fn(root, files): task files in root, runs go to root/runs.
function experiments.in_folder(fn)
  support.in_folder(function(root) fn(root, support.task_files(root)) end)
end

function experiments.run(name, given, root)
  local is_drawn = name == "transfer" or given.from == nil
  if name ~= "power" and is_drawn and given.which ~= "temperature" then given.temperature = 1.0 end
  return support.run(support.file(("experiments/%s.lua"):format(name)), given, { root = root .. "/runs" })
end

-- A run's table as rows by column.
function experiments.rows(r, name)
  local out, columns = {}, nil
  for line in r.tables[name]:gmatch "[^\r\n]+" do
    local cells = {}
    for cell in (line .. ","):gmatch "([^,]*)," do cells[#cells + 1] = tonumber(cell) or cell end
    if not columns then
      columns = cells
    else
      local row = {}
      for i, c in ipairs(columns) do row[c] = cells[i] end
      out[#out + 1] = row
    end
  end
  return out
end

-- fn(vt, p) within a run; each time another, since a finished one would only be read back.
local n_readers = 0
function experiments.reader(root, fn)
  n_readers = n_readers + 1
  support.run(support.main(function(_, p, vt) return fn(vt, p) or {} end, { name = "reader" .. n_readers }), nil,
    { root = root .. "/runs" })
end

return experiments
