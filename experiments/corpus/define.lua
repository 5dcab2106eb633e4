-- SPDX-License-Identifier: Apache-2.0
-- define.lua: what an operation is. A family file returns a list of definitions; each has an id, and `make(rng)` that draws its
-- free constants and returns
--   { sig = "x[m,n], w[n] -> y[m]; s=0.5",  arrays (inputs, then outputs) and scalars
--     sizes = "m=64,n=1024",                in signature order; the values of scale "cpu"
--     body = C text, mild = { C texts }, strong = { C texts },
--     tol = true when honest variants use fast exp or log (rtol 3e-5, atol 1e-7), else the arithmetic bound alone,
--     dist = { x = "positive" } input distributions by array; integer inputs: t:i32<n[m] (values in 0..n-1),
--     odd = { n = 9 } the smallest sizes that still fit the operation: verdicts draw none below,
--     where = { "ci % 2 == 0" } conditions that drawn sizes satisfy,
--     names = { x = { "x", "src" } } pools for words of this operation, braces = { "always", … } pool of brace styles }
-- A task document is made from it by `Define.document`, under the names of one instance.

local Define = {}

local function split(text, sep)
  local out = {}
  for part in (text .. sep):gmatch("(.-)" .. sep) do
    part = part:gsub("^%s+", ""):gsub("%s+$", "")
    if part ~= "" then out[#out + 1] = part end
  end
  return out
end

-- Splits at commas outside brackets.
local function split_arrays(text)
  local out, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == "[" or c == "(" then depth = depth + 1
    elseif c == "]" or c == ")" then depth = depth - 1
    elseif c == "," and depth == 0 then
      out[#out + 1] = text:sub(start, i - 1)
      start = i + 1
    end
  end
  out[#out + 1] = text:sub(start)
  return out
end

local function parse_array(text, role)
  local name, dtype, bound, shape = text:match("^%s*([%w_]+):?([%w]*)<?([^%[]*)%[(.*)%]%s*$")
  assert(name, "array: " .. text)
  return {
    name = name, role = role, dtype = dtype ~= "" and dtype or "f32",
    below = bound ~= "" and bound or nil, shape = split(shape, ","),
  }
end

---{ arrays = {…}, scalars = {{name,value}}, sizes = {{name,value}} }
function Define.parse(def)
  local arrays, scalars, sizes = {}, {}, {}
  local head, tail = def.sig:match("^(.-);(.*)$")
  head = head or def.sig
  local ins, outs = head:match("^(.-)%->(.*)$")
  for _, a in ipairs(split_arrays(ins)) do arrays[#arrays + 1] = parse_array(a, "in") end
  for _, a in ipairs(split_arrays(outs)) do arrays[#arrays + 1] = parse_array(a, "out") end
  for _, s in ipairs(split(tail or "", ",")) do
    local k, v = s:match("^(%w+)%s*=%s*(.+)$")
    scalars[#scalars + 1] = { name = k, value = tonumber(v) }
  end
  for _, s in ipairs(split(def.sizes, ",")) do
    local k, v = s:match("^(%w+)%s*=%s*(%d+)$")
    sizes[#sizes + 1] = { name = k, value = tonumber(v) }
  end
  return { arrays = arrays, scalars = scalars, sizes = sizes }
end

local C_TYPE = { f32 = "float", i32 = "int", i64 = "long long", u8 = "unsigned char" }

local function rename_words(text, names)
  return (text:gsub("%f[%w_][%a_][%w_]*", names))
end

---The one rule of signatures: arrays, scalars, sizes.
function Define.signature(parts, names, fname)
  local args = {}
  for _, a in ipairs(parts.arrays) do
    args[#args + 1] = (a.role == "in" and "const " or "") .. C_TYPE[a.dtype] .. " *restrict " .. (names[a.name] or a.name)
  end
  for _, s in ipairs(parts.scalars) do args[#args + 1] = "float " .. (names[s.name] or s.name) end
  for _, s in ipairs(parts.sizes) do args[#args + 1] = "int " .. (names[s.name] or s.name) end
  return "void " .. fname .. "(" .. table.concat(args, ", ") .. ")"
end

local FLOATS = { "normal", "uniform" }

---Compulsory bytes of the task: each array once.
local function bytes_expression(parts, names)
  local terms = {}
  for _, a in ipairs(parts.arrays) do
    local f = { a.dtype == "i64" and "8" or a.dtype == "u8" and "1" or "4" }
    for _, d in ipairs(a.shape) do f[#f + 1] = "(" .. rename_words(d, names) .. ")" end
    terms[#terms + 1] = table.concat(f, " * ")
  end
  return table.concat(terms, " + ")
end

---The task document of include/vegttt/task.h, as a Lua table.
function Define.document(def, parts, names, fname, id, family, body)
  local doc = {
    id = id, level = 0, name = fname, title = fname, family = family,
    sizes = { cpu = {} }, size_order = {}, arrays = {}, scalars = {},
    rtol = def.tol and 3e-5 or 0, atol = def.tol and 1e-7 or 0, body = body,
    bytes = bytes_expression(parts, names), flops = def.flops and rename_words(def.flops, names) or "0",
  }
  for i, s in ipairs(parts.sizes) do
    local name = names[s.name] or s.name
    doc.sizes.cpu[name] = s.value
    doc.size_order[i] = name
  end
  for size, least in pairs(def.odd or {}) do
    local name = names[size] or size
    doc.range = doc.range or {}
    doc.range[name] = { math.min(least, doc.sizes.cpu[name]), math.max(least, doc.sizes.cpu[name]) }
  end
  for i, condition in ipairs(def.where or {}) do
    doc.where = doc.where or {}
    doc.where[i] = rename_words(condition, names)
  end
  for i, a in ipairs(parts.arrays) do
    local shape = {}
    for j, d in ipairs(a.shape) do shape[j] = rename_words(d, names) end
    local item = { name = names[a.name] or a.name, role = a.role, dtype = a.dtype, shape = shape }
    if a.role == "in" then
      if a.dtype == "f32" then
        item.dist = def.dist and def.dist[a.name] or FLOATS
      else
        item.dist = { a.below and "labels" or "mask" }
        item.max = a.below and rename_words(a.below, names) or nil
      end
    elseif a.role == "out" then
      item.compare = a.dtype == "f32" and "bound" or "exact"
    end
    doc.arrays[i] = item
  end
  for i, s in ipairs(parts.scalars) do
    doc.scalars[i] = { name = names[s.name] or s.name, type = "f32", value = s.value }
  end
  return doc
end

return Define
