-- SPDX-License-Identifier: Apache-2.0
--
-- Tables of runs read back from CSV as RFC 4180 has it, which core.table_text writes.
local closed = require "vegttt.closed"

local csv = {}

---The columns and the rows of a text: numbers as numbers, an empty field as false.
function csv.read(s)
  local at, rows, row = 1, {}, {}
  while at <= #s do
    local value, stop
    if s:sub(at, at) == '"' then
      local from = at + 1
      repeat
        at = s:find('"', at + 1, true) or #s
        local is_doubled = s:sub(at + 1, at + 1) == '"'
        if is_doubled then at = at + 1 end
      until not is_doubled
      value, stop = s:sub(from, at - 1):gsub('""', '"'), at + 1
    else
      stop = s:find("[,\r\n]", at) or #s + 1
      value = s:sub(at, stop - 1)
      value = value ~= "" and (math.tointeger(tonumber(value)) and value:find "^%-?%d+$" and tonumber(value) or tonumber(value) or value)
    end
    row[#row + 1] = value
    if s:sub(stop, stop) == "," then
      at = stop + 1
    else
      at = stop + (s:sub(stop, stop + 1) == "\r\n" and 2 or 1)
      rows[#rows + 1], row = row, {}
    end
  end
  return table.remove(rows, 1) or {}, rows
end

---The same as records by column; an empty field is nil.
function csv.records(s)
  local columns, rows = csv.read(s)
  local out = {}
  for i, row in ipairs(rows) do
    local by = {}
    for c, name in ipairs(columns) do by[name] = row[c] or nil end
    out[i] = closed.record("a row", by, columns)
  end
  return out
end

return csv
