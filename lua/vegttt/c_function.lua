-- SPDX-License-Identifier: Apache-2.0
--
-- One C function out of a file: its parameters, its body and the helpers above it, for `vegttt optimise`. This is no C
-- compiler: it understands prototypes of numbers, pointers to numbers and sizes, and says in one sentence what it does
-- not; whether the text is C is asked of the compiler afterwards.
local errors = require "vegttt.errors"

local c_function = {}

local dtypes = { ["float"] = "f32", ["int"] = "i32", ["int32_t"] = "i32", ["signed int"] = "i32",
  ["long long"] = "i64", ["int64_t"] = "i64",
  ["long long int"] = "i64", ["unsigned char"] = "u8", ["uint8_t"] = "u8" }

-- The text with comments, strings and characters blanked out and continued lines joined: same length.
local function blank(text)
  local function spaces(s) return (s:gsub("[^\n]", " ")) end
  local out, i = {}, 1
  while i <= #text do
    local two, one = text:sub(i, i + 1), text:sub(i, i)
    local stop
    if two == "//" then
      stop = (text:find("\n", i, true) or #text + 1) - 1
    elseif two == "/*" then
      local _, e = text:find("*/", i + 2, true)
      stop = e or #text
    elseif one == '"' or one == "'" then
      stop = i + 1
      while stop <= #text and text:sub(stop, stop) ~= one do stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1) end
    end
    if stop then
      out[#out + 1] = spaces(text:sub(i, math.min(stop, #text)))
      i = stop + 1
    else
      out[#out + 1] = one
      i = i + 1
    end
  end
  return (table.concat(out):gsub("\\\n", "  "))
end

-- Where NAME(…) { … } stands at the outermost level: start of its line, of its parameters, of its body, and its end.
local function find_definition(plain, name)
  local from = 1
  while true do
    local s, e = plain:find("%f[%w_]" .. name .. "%f[^%w_]%s*%b()%s*{", from)
    if not s then return nil end
    local before = plain:sub(1, s - 1)
    local depth = select(2, before:gsub("{", "")) - select(2, before:gsub("}", ""))
    local _, close = plain:find("%b{}", e)
    if depth == 0 and close then return s, e, close end
    from = e
  end
end

-- Beginning of the declaration that ends at `at`: after the last ; } or preprocessor line before it.
local function declaration_start(plain, at)
  local before = plain:sub(1, at - 1)
  local start = 1
  for s in before:gmatch "()[;}]" do start = s + 1 end
  for past in ("\n" .. before):gmatch "\n[ \t]*#[^\n]*()" do start = math.max(start, past - 1) end
  return start
end

local function parameter(text, name, i)
  local p = text
  for _, word in ipairs { "const", "_*restrict_*", "volatile" } do p = p:gsub("%f[%w_]" .. word .. "%f[^%w_]", " ") end
  local is_const = text:find "%f[%w_]const%f[^%w_]" ~= nil
  local n_stars = select(2, p:gsub("%*", ""))
  local n_brackets = select(2, p:gsub("%b[]", ""))
  local bare = p:gsub("%*", " "):gsub("%b[]", " "):match "^%s*(.-)%s*$"
  local type_name, id = bare:match "^(.-)%s+([%a_][%w_]*)$"
  if not type_name then
    errors.usage("parameter %d of %s, `%s`, has no name or no type", i, name, text:match "^%s*(.-)%s*$")
  end
  type_name = type_name:gsub("%s+", " ")
  local what = ("parameter '%s' of %s is a `%s`"):format(id, name, type_name .. (" *"):rep(n_stars))
  if n_stars + n_brackets > 1 then errors.usage("%s: arrays must be flat, one pointer deep", what) end
  local dtype = dtypes[type_name]
  if n_stars + n_brackets == 1 then
    if not dtype then errors.usage("%s; arrays can hold float, int, long long and unsigned char", what) end
    return { name = id, kind = "array", dtype = dtype, role = is_const and "in" or "out", type = type_name }
  end
  if type_name == "float" then return { name = id, kind = "scalar", type = "f32", c_type = type_name } end
  if type_name == "int" then return { name = id, kind = "int", c_type = type_name } end
  errors.usage("%s; single values can be float, or int (sizes)", what)
end

local function split_parameters(text)
  local parts, depth, from = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == "(" or c == "[" then depth = depth + 1 end
    if c == ")" or c == "]" then depth = depth - 1 end
    if c == "," and depth == 0 then
      parts[#parts + 1] = text:sub(from, i - 1)
      from = i + 1
    end
  end
  parts[#parts + 1] = text:sub(from)
  return parts
end

-- The definitions of functions at the outermost level of a blanked text: { name, from, to, … }.
local function definitions(plain)
  local out, at = {}, 1
  while true do
    local s, open, name = plain:find("([%a_][%w_]*)%s*%b()%s*{", at)
    if not s then return out end
    local _, close = plain:find("%b{}", open)
    if not close then return out end
    out[#out + 1] = { name = name, from = declaration_start(plain, s), to = close, text = plain:sub(open, close) }
    at = close + 1
  end
end

local function mentions(text, name) return text:find("%f[%w_]" .. name .. "%f[^%w_]") ~= nil end

-- Which of the functions above it the body needs, itself or through one another or a macro.
local function needed(defined, plain, body)
  local rest, at = {}, 1
  for i, d in ipairs(defined) do
    rest[i] = plain:sub(at, d.from - 1)
    at = d.to + 1
  end
  local texts, is_needed, has_changed = { body, table.concat(rest, "\n") .. plain:sub(at) }, {}, true
  while has_changed do
    has_changed = false
    for _, d in ipairs(defined) do
      for _, text in ipairs(is_needed[d] and {} or texts) do
        if mentions(text, d.name) then
          is_needed[d], has_changed = true, true
          texts[#texts + 1] = d.text
          break
        end
      end
    end
  end
  return is_needed
end

-- The text without functions that are not needed: those may use what a candidate has not.
local function without_functions(text, plain, body)
  local defined = definitions(plain)
  local is_needed, parts, at = needed(defined, plain, body), {}, 1
  for _, d in ipairs(defined) do
    if not is_needed[d] then
      parts[#parts + 1] = text:sub(at, d.from - 1)
      at = d.to + 1
    end
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

-- What stands above the function. System headers go: a candidate has the numeric ones already and may use no others.
local function helpers_of(text, plain, body, file)
  for own in ("\n" .. text):gmatch '\n%s*#%s*include%s*"([^"]+)"' do
    errors.usage("%s includes %s, which a jailed candidate cannot see; put what the function needs above it", file, own)
  end
  local lines = {}
  for line in (without_functions(text, plain, body) .. "\n"):gmatch "(.-)\n" do
    if not line:find "^%s*#%s*include" then lines[#lines + 1] = line end
  end
  local kept = table.concat(lines, "\n"):gsub("^%s+", ""):gsub("%s+$", "")
  return kept ~= "" and kept .. "\n" or nil
end

---{ name, parameters = { { name, kind = "array"|"scalar"|"int", … } }, body, helpers, prototype, first_byte,
---last_byte }
function c_function.parse(text, name, file)
  local plain = blank(text)
  if not name:find "^[%a_][%w_]*$" then errors.usage("'%s' is no name of a C function", name) end
  local s, open, close = find_definition(plain, name)
  if not s then errors.usage("%s does not define a function %s", file, name) end
  local start = declaration_start(plain, s)
  start = start + #plain:sub(start):match "^%s*"
  local result = plain:sub(start, s - 1):gsub("%f[%w_]static%f[^%w_]", ""):gsub("%f[%w_]inline%f[^%w_]", "")
  result = result:match "^%s*(.-)%s*$"
  if result ~= "void" then
    errors.usage("%s returns `%s`; a task is a void function that writes its results into arrays", name, result)
  end
  local list = plain:sub(s, open):match "(%b())":sub(2, -2)
  if not list:find "%S" or list:match "^%s*void%s*$" then
    errors.usage("%s has no parameters, so it computes nothing that can be checked", name)
  end
  local f = { name = name, parameters = {}, body = text:sub(open + 1, close - 1):gsub("^[ \t]*\n", ""):gsub("%s+$", ""),
    helpers = helpers_of(text:sub(1, start - 1), plain:sub(1, start - 1), plain:sub(open, close), file),
    first_byte = start, last_byte = close }
  for i, p in ipairs(split_parameters(list)) do f.parameters[i] = parameter(p, name, i) end
  local n_out, n_in = 0, 0
  for _, p in ipairs(f.parameters) do
    if p.kind == "array" and p.role == "out" then n_out = n_out + 1 end
    if p.kind == "array" and p.role == "in" then n_in = n_in + 1 end
  end
  if n_out == 0 then errors.usage("%s has no output: no parameter is a pointer without const", name) end
  if n_in == 0 then errors.usage("%s has no input array: mark what it only reads as const", name) end
  return f
end

---The function with another body, in the user's own order of parameters. Arrays get `restrict`, as they were timed.
function c_function.text(f, body)
  local parts = {}
  for i, p in ipairs(f.parameters) do
    parts[i] = p.kind == "array" and ("%s%s *restrict %s"):format(p.role == "in" and "const " or "", p.type, p.name)
      or ("%s %s"):format(p.c_type, p.name)
  end
  return ("void %s(%s)\n{\n%s\n}"):format(f.name, table.concat(parts, ", "), (body:gsub("^%s*\n", ""):gsub("%s+$", "")))
end

---The body of a candidate that may be a whole function.
function c_function.body_of(code, name)
  local _, open, close = find_definition(blank(code), name)
  return open and code:sub(open + 1, close - 1) or code
end

return c_function
