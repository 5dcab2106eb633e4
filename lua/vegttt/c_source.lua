-- SPDX-License-Identifier: Apache-2.0
--
-- The text of a C file around one function. Where the function stands is the compiler's answer (the line of its name in
-- the debugging information), not a search: an older version under `#if 0` has the same name. From there only brackets
-- are counted, and whether that cut the function out right is asked of the compiler again (c_function.lua). What a
-- prompt shows of the rest of the file, the helpers that the function needs, is chosen here by names; nothing that is
-- compiled is.
local c_source = {}

---The text with comments, strings, characters and continued lines blanked out: same length, same lines.
function c_source.blank(text)
  local function spaces(s) return (s:gsub("[^\n]", " ")) end
  local out, i = {}, 1
  while i <= #text do
    local at = text:find("[/\"'\\]", i)
    if not at then break end
    out[#out + 1] = text:sub(i, at - 1)
    local two, one, stop = text:sub(at, at + 1), text:sub(at, at), nil
    if two == "//" then
      stop = (text:find("\n", at, true) or #text + 1) - 1
    elseif two == "/*" then
      local _, e = text:find("*/", at + 2, true)
      stop = e or #text
    elseif one == '"' or one == "'" then
      stop = at + 1
      while stop <= #text and text:sub(stop, stop) ~= one do stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1) end
    elseif two == "\\\n" or two == "\\\r" then
      stop = at
    end
    out[#out + 1] = stop and spaces(text:sub(at, math.min(stop, #text))) or one
    i = (stop or at) + 1
  end
  return table.concat(out) .. text:sub(i)
end

---Where the line begins.
local function line_start(text, line)
  local at = 1
  for _ = 2, line do at = (text:find("\n", at, true) or #text) + 1 end
  return at
end

-- Beginning of the declaration that ends at `at`: after the last ; } or preprocessor line before it.
local function declaration_start(plain, at)
  local before, start = plain:sub(1, at - 1), 1
  for s in before:gmatch "()[;}]" do start = s + 1 end
  local from = 1
  while from <= #before do -- directives, with the lines that continue them
    local stop = before:find("\n", from, true) or #before
    if before:sub(from, stop):find "^[ \t]*#" then start = math.max(start, stop + 1) end
    from = stop + 1
  end
  return start
end

-- Directive lines go on after a backslash, which `blank` took away; they are blanked here with what continues them.
local function without_directives(text, plain)
  local out, from, is_inside = {}, 1, false
  while from <= #text do
    local stop = text:find("\n", from, true) or #text
    local is_directive = is_inside or plain:sub(from, stop):find "^[ \t]*#" ~= nil
    out[#out + 1] = is_directive and plain:sub(from, stop):gsub("[^\n#]", " ") or plain:sub(from, stop)
    is_inside = is_directive and text:sub(from, stop):find "\\[ \t\r]*\n$" ~= nil
    from = stop + 1
  end
  return table.concat(out)
end

---The parts of a file whose function `name` has its name on that line: { before, head, body, after }, or nil.
function c_source.cut(text, name, line)
  local plain = without_directives(text, c_source.blank(text))
  local from = line_start(text, line)
  local s, e = plain:find("%f[%w_]" .. name .. "%f[^%w_]", from)
  if not s or s > (text:find("\n", from, true) or #text) then return nil end
  local list = plain:match("^%s*()%b()", e + 1)
  local _, list_end = plain:find("^%b()", list or #plain + 1)
  local open = list_end and plain:find("{", list_end, true)
  if not open or plain:sub(list_end + 1, open - 1):find ";" then return nil end
  local _, close = plain:find("^%b{}", open)
  if not close then return nil end
  local start = declaration_start(plain, s)
  start = start + #plain:sub(start):match "^%s*"
  return { before = text:sub(1, start - 1), head = text:sub(start, start - 1 + #plain:sub(start, open - 1):gsub("%s+$", "")), -- without a comment behind it
    body = text:sub(open + 1, close - 1):gsub("^[ \t]*\n", ""):gsub("%s+$", ""), after = text:sub(close + 1),
    first_line = line, last_line = select(2, text:sub(1, close):gsub("\n", "")) + 1 }
end

---The names of the user's own headers that the text includes.
function c_source.own_headers(text)
  local out, plain = {}, c_source.blank(text)
  local from = 1
  for at in ("\n" .. plain):gmatch "()\n[ \t]*#%s*include" do
    local own = text:sub(at):match '^[ \t]*#%s*include%s*"([^"\n]+)"'
    if own then out[#out + 1] = own end
    from = at
  end
  return out
end

---The definitions of functions at the outermost level of a blanked text: { name, from, to, text }.
function c_source.definitions(plain)
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

-- Which of the functions the body needs, itself or through one another or a macro.
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

---What a prompt shows of the text beside the function: all but functions that it does not need and #include lines.
function c_source.shown(parts)
  local text = parts.before .. "\n" .. parts.after
  local plain = c_source.blank(text)
  local defined = c_source.definitions(plain)
  local is_needed, kept, at = needed(defined, plain, c_source.blank(parts.body)), {}, 1
  for _, d in ipairs(defined) do
    if not is_needed[d] then
      kept[#kept + 1] = text:sub(at, d.from - 1)
      at = d.to + 1
    end
  end
  kept[#kept + 1] = text:sub(at)
  local lines = {}
  for line in (table.concat(kept) .. "\n"):gmatch "(.-)\n" do
    if not line:find "^%s*#%s*include" then lines[#lines + 1] = line end
  end
  local out = table.concat(lines, "\n"):gsub("\n\n\n+", "\n\n"):gsub("^%s+", ""):gsub("%s+$", "")
  return out ~= "" and out .. "\n" or nil
end

return c_source
