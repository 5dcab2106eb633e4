-- SPDX-License-Identifier: Apache-2.0
-- tasks_json.lua FOLDER|FILE.lua …: prints every task file as one line of JSON, in the order of the file names, so
-- that tests in C and Python can read tasks without the engine's own Lua binding.
local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function encode(v)
  if type(v) == "table" then
    local out = {}
    if #v > 0 then
      for i, x in ipairs(v) do out[i] = encode(x) end
      return "[" .. table.concat(out, ",") .. "]"
    end
    for k, x in pairs(v) do out[#out + 1] = quote(k) .. ":" .. encode(x) end
    table.sort(out)
    return "{" .. table.concat(out, ",") .. "}"
  elseif type(v) == "string" then
    return quote(v)
  elseif type(v) == "number" then
    return math.type(v) == "integer" and ("%d"):format(v) or ("%.17g"):format(v)
  end
  return tostring(v)
end

local function files(path)
  if path:match("%.lua$") then return { path } end
  local list, pipe = {}, assert(io.popen("ls '" .. path .. "'"))
  for name in pipe:lines() do
    if name:match("%.lua$") then list[#list + 1] = path .. "/" .. name end
  end
  pipe:close()
  table.sort(list)
  return list
end

for _, path in ipairs(arg) do
  for _, file in ipairs(files(path)) do
    print(encode(assert(loadfile(file, "t", {}))()))
  end
end
