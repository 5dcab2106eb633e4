-- SPDX-License-Identifier: Apache-2.0
--
-- What a compiler says about a C file that it compiled with -g: the functions and variables with their types and places
-- (the debugging information), which of them a function reaches (the relocations of its code), and what lies in memory
-- that can be written (the sections). All of it is read from `readelf`, which comes with every assembler, so no C is
-- parsed to learn a type: typedefs, macros, conditional parts and headers are what the compiler took them for.
local dwarf = {}

local function attribute(text)
  text = text:gsub("^%(indirect[^)]*%): ", ""):gsub("^%(index[^)]*%): ", ""):gsub("^%(alt[^)]*%): ", "")
  return (text:gsub("%s+$", ""))
end

---The entries of `readelf --debug-dump=info`: { depth, offset, tag, parent, NAME = text, … } in order, and by offset.
function dwarf.entries(text)
  local list, by_offset, stack, entry = {}, {}, {}, nil
  for line in text:gmatch "[^\n]+" do
    local depth, offset, tag = line:match "^%s*<(%x+)><(%x+)>:.-%((DW_TAG_[%w_]+)%)"
    if depth then
      depth = tonumber(depth, 16)
      entry = { depth = depth, offset = tonumber(offset, 16), tag = tag:sub(8), parent = stack[depth - 1] }
      stack[depth] = entry
      list[#list + 1], by_offset[entry.offset] = entry, entry
    elseif entry then
      local name, value = line:match "^%s*<%x+>%s+DW_AT_([%w_]+)%s*:%s?(.*)$"
      if name then entry[name] = attribute(value) end
    end
  end
  return list, by_offset
end

local function number(text)
  local digits = tostring(text or ""):match "^0x%x+" or tostring(text or ""):match "^%-?%d+"
  return digits and math.tointeger(tonumber(digits))
end
dwarf.number = number

local signed = { [1] = "i8", [2] = "i16", [4] = "i32", [8] = "i64" }
local unsigned = { [1] = "u8", [2] = "u16", [4] = "u32", [8] = "u64" }
local floats = { [4] = "f32", [8] = "f64" }

local function base_type(e)
  local encoding, size = number(e.encoding), number(e.byte_size)
  local by = encoding == 4 and floats or (encoding == 5 or encoding == 6) and signed
    or (encoding == 7 or encoding == 8) and unsigned or {}
  return { kind = "base", name = e.name, text = e.name, dtype = encoding == 2 and "u8" or by[size],
    is_bool = encoding == 2, is_float = by == floats }
end

local function dimensions(list, at)
  local n, i = {}, at + 1
  while list[i] and list[i].depth > list[at].depth do
    local s = list[i]
    if s.tag == "subrange_type" and s.parent == list[at] then
      local function fixed(text) return text and text:find "^%w+$" and number(text) end -- else a block that computes it
      local count, top = fixed(s.count), fixed(s.upper_bound)
      n[#n + 1] = count or top and top + 1 or 0
    end
    i = i + 1
  end
  return n
end

---The type that an entry's DW_AT_type names, typedefs resolved: { kind = "base" | "pointer" | "array" | "void" | "other",
---text = as C writes it, is_const, dtype, to, n = elements }.
function dwarf.type_of(list, by_offset, reference)
  local offset = reference and tonumber(reference:match "0x(%x+)", 16)
  local e = offset and by_offset[offset]
  if not e then return { kind = "void", text = "void" } end
  local function inner() return dwarf.type_of(list, by_offset, e.type) end
  if e.tag == "base_type" then return base_type(e) end
  if e.tag == "typedef" or e.tag == "volatile_type" or e.tag == "restrict_type" or e.tag == "atomic_type" then
    local t = inner()
    if e.tag == "atomic_type" or e.tag == "volatile_type" then t.kind, t.text = "other", e.tag:match "%a+" .. " " .. t.text end
    return t
  end
  if e.tag == "const_type" then
    local t = {}
    for k, v in pairs(inner()) do t[k] = v end
    t.is_const = true
    if t.kind ~= "array" then t.text = t.kind == "pointer" and t.text .. " const" or "const " .. t.text end
    return t
  end
  if e.tag == "pointer_type" then
    local to = inner()
    if to.kind == "array" then
      return { kind = "pointer", to = to, text = ("%s (*)%s"):format(to.of.text, to.brackets) }
    end
    return { kind = "pointer", to = to, text = to.text .. (to.kind == "pointer" and "*" or " *") }
  end
  if e.tag == "array_type" then
    local of, at = inner(), nil
    for i, x in ipairs(list) do
      if x == e then at = i break end
    end
    local n, brackets = 1, {}
    for i, d in ipairs(dimensions(list, at)) do n, brackets[i] = n * d, ("[%d]"):format(d) end
    return { kind = "array", of = of, n = n, brackets = table.concat(brackets), text = of.text .. table.concat(brackets),
      is_const = of.is_const }
  end
  if e.tag == "enumeration_type" then
    local t = e.type and inner() or { dtype = unsigned[number(e.byte_size)] }
    return { kind = "base", text = t.text or "unsigned int", dtype = t.dtype, is_enum = true }
  end
  local words = { structure_type = "struct", union_type = "union", subroutine_type = "function" }
  return { kind = "other", text = (words[e.tag] or e.tag) .. " " .. (e.name or "without a name") }
end

---Sections and symbols that `from` (a section's name) reaches through relocations, from `readelf -rSsW`:
---{ data = { [symbol or section] = true }, undefined = { name = true } }. data are places that can be written.
function dwarf.reached(text, from)
  local relocations, current, section_of, is_writable, is_undefined = {}, nil, {}, {}, {}
  local names = {}
  for line in text:gmatch "[^\n]+" do
    local number_of, name, flags = line:match "^%s*%[%s*(%d+)%]%s+(%S+)%s+%S+%s+%x+%s+%x+%s+%x+%s+%x+%s+(%u*)"
    if number_of then
      names[number_of], is_writable[name] = name, flags:find "W" ~= nil and flags:find "A" ~= nil
    end
    local of = line:match "^Relocation section '%.rela?([^']*)'"
    if of then current = of; relocations[of] = relocations[of] or {} end
    local target = line:match "^%x+%s+%x+%s+R_%S+%s+%x+%s+(%S+)"
    if target and current then table.insert(relocations[current], target) end
    local index, symbol = line:match "^%s*%d+:%s+%x+%s+%S+%s+%u+%s+%u+%s+%u+%s+(%w+)%s+(%S+)"
    if symbol then
      if index == "UND" then is_undefined[symbol] = true
      elseif index == "COM" then section_of[symbol], is_writable["COMMON " .. symbol] = "COMMON " .. symbol, true
      else section_of[symbol] = section_of[symbol] or names[index] end
    end
  end
  local data, undefined, seen, queue = {}, {}, { [from] = true }, { from }
  while #queue > 0 do
    for _, target in ipairs(relocations[table.remove(queue)] or {}) do
      local section = section_of[target] or relocations[target] and target or is_writable[target] ~= nil and target
      if is_undefined[target] and target ~= "_GLOBAL_OFFSET_TABLE_" then undefined[target] = true end
      if section and is_writable[section] and not section:find "^%.data%.rel%.ro" then data[section] = true end
      if section and not seen[section] then
        seen[section] = true
        queue[#queue + 1] = section
      end
    end
  end
  return { data = data, undefined = undefined, sections = seen }
end

return dwarf
