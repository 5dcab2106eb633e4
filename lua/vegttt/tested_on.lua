-- SPDX-License-Identifier: Apache-2.0
--
-- What "tested equal" stands on, in words: the values of each input, the sizes, the single numbers. A result says it on
-- the screen, in the file and in its record, because a kernel may be right there and nowhere else.
local tested_on = {}

local function number(v) return math.type(v) == "integer" and ("%d"):format(v) or ("%.6g"):format(v) end

-- 2^30 and its like are easier to read than their digits.
local function bound(v)
  local n = math.tointeger(v)
  for k = 16, 62 do
    if n == 1 << k then return ("2^%d"):format(k) end
    if n == (1 << k) - 1 then return ("2^%d - 1"):format(k) end
    if n == -(1 << k) then return ("-2^%d"):format(k) end
  end
  return number(v)
end

local function values_of(a, is_spread)
  if a.max then return ("%s from 0 to below %s"):format(a.name, a.max) end
  if a.range then return ("%s from %s to %s"):format(a.name, bound(a.range[1]), bound(a.range[2])) end
  if a.dtype:sub(1, 1) ~= "f" then return ("%s any value of its type"):format(a.name) end
  return is_spread and ("%s mostly from -1 to 1, some to 300 either way"):format(a.name)
    or ("%s of any size, mostly from -1 to 1"):format(a.name)
end

---Lines about a task's document. fixed: { name = value } of single numbers that were not varied; reason: why inputs were
---narrowed, or nil.
function tested_on.lines(document, fixed, reason)
  local inputs, out = {}, {}
  for _, a in ipairs(document.arrays) do
    if a.role ~= "out" and not a.name:find "_drawn$" then
      inputs[#inputs + 1] = values_of(a, document.unit.truth == "spread")
    end
  end
  if #inputs > 0 then
    out[1] = "values: " .. table.concat(inputs, "; ") .. (reason and (" (%s)"):format(reason) or "")
  end
  local sizes = {}
  for _, name in ipairs(document.size_order) do
    local range, timed = document.range[name], document.sizes.cpu[name]
    if range[1] < range[2] then
      sizes[#sizes + 1] = ("%s from %d to %d, timed at %d"):format(name, range[1], range[2], timed)
    elseif name ~= "one" then
      sizes[#sizes + 1] = ("%s = %d only"):format(name, timed)
    end
  end
  if #sizes > 0 then out[#out + 1] = "sizes: " .. table.concat(sizes, "; ") end
  local singles, only = {}, {}
  for _, a in ipairs(document.arrays) do
    if a.name:find "_drawn$" then
      singles[#singles + 1] = ("%s from %s to %s"):format((a.name:gsub("_drawn$", "")), bound(a.range[1]), bound(a.range[2]))
    end
  end
  for name in pairs(fixed) do only[#only + 1] = name end
  table.sort(only)
  for _, name in ipairs(only) do singles[#singles + 1] = ("%s = %s and no other value"):format(name, number(fixed[name])) end
  if #singles > 0 then out[#out + 1] = "single numbers: " .. table.concat(singles, "; ") end
  return out
end

return tested_on
