-- SPDX-License-Identifier: Apache-2.0
--
-- A unified diff of two texts by longest common subsequence of lines, for files of some hundred lines.
local diff = {}

local n_context = 3

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

-- { { " " | "-" | "+", line, position in a, position in b }, … }
local function edits(a, b)
  local first, last_a, last_b = 1, #a, #b
  while first <= last_a and first <= last_b and a[first] == b[first] do first = first + 1 end
  while last_a >= first and last_b >= first and a[last_a] == b[last_b] do last_a, last_b = last_a - 1, last_b - 1 end
  local length = {}
  for i = last_a + 1, first, -1 do
    length[i] = {}
    for j = last_b + 1, first, -1 do
      if i > last_a or j > last_b then
        length[i][j] = 0
      elseif a[i] == b[j] then
        length[i][j] = length[i + 1][j + 1] + 1
      else
        length[i][j] = math.max(length[i + 1][j], length[i][j + 1])
      end
    end
  end
  local out, i, j = {}, 1, 1
  while i <= #a or j <= #b do
    local is_inside = i >= first and j >= first and i <= last_a + 1 and j <= last_b + 1 and (i <= last_a or j <= last_b)
    if not is_inside or i <= last_a and j <= last_b and a[i] == b[j] then
      out[#out + 1] = { " ", a[i], i, j }
      i, j = i + 1, j + 1
    elseif i <= last_a and (j > last_b or length[i + 1][j] >= length[i][j + 1]) then
      out[#out + 1] = { "-", a[i], i, j }
      i = i + 1
    else
      out[#out + 1] = { "+", b[j], i, j }
      j = j + 1
    end
  end
  return out
end

-- Indices of the edits that each hunk covers.
local function hunks_of(list)
  local hunks = {}
  for i, e in ipairs(list) do
    if e[1] ~= " " then
      local from, to = math.max(1, i - n_context), math.min(#list, i + n_context)
      local last = hunks[#hunks]
      if last and from <= last[2] + 1 then last[2] = to else hunks[#hunks + 1] = { from, to } end
    end
  end
  return hunks
end

---"" when the texts are equal line by line.
function diff.unified(a_text, b_text, a_name, b_name)
  local list = edits(lines_of(a_text), lines_of(b_text))
  local hunks, out = hunks_of(list), {}
  if #hunks == 0 then return "" end
  out[1], out[2] = "--- " .. a_name, "+++ " .. b_name
  for _, h in ipairs(hunks) do
    local n_a, n_b, lines = 0, 0, {}
    for i = h[1], h[2] do
      local e = list[i]
      if e[1] ~= "+" then n_a = n_a + 1 end
      if e[1] ~= "-" then n_b = n_b + 1 end
      lines[#lines + 1] = e[1] .. e[2]
    end
    local at = list[h[1]]
    local from_a, from_b = n_a > 0 and at[3] or at[3] - 1, n_b > 0 and at[4] or at[4] - 1
    out[#out + 1] = ("@@ -%d,%d +%d,%d @@"):format(from_a, n_a, from_b, n_b)
    out[#out + 1] = table.concat(lines, "\n")
  end
  return table.concat(out, "\n") .. "\n"
end

return diff
