-- SPDX-License-Identifier: Apache-2.0
-- style.lua: one C body, many appearances. Operation files write every body once, in a canonical style with canonical names;
-- this file parses it into statements and prints it again under a style: indentation, braces around single statements,
-- `i++` or `++i`, spacing inside brackets, and a consistent renaming of identifiers. Expressions keep their tokens, so a
-- restyled body means what the canonical one means.
--
-- The parser knows what the corpus uses: blocks, for, while, if/else, pragmas (one line each) and simple statements up to `;`.
-- Anything else is an error at corpus-building time, not a silent copy.

local Style = {}

local function skip_space(src, pos)
  return src:find("%S", pos) or #src + 1
end

-- Position after the bracket that closes the one at `pos`.
local function after_balanced(src, pos)
  local _, e = src:find("^%b()", pos)
  return assert(e, "unbalanced parenthesis") + 1
end

local parse_statement

local function parse_block(src, pos)
  local list = {}
  while true do
    pos = skip_space(src, pos)
    if pos > #src then return list, pos end
    if src:sub(pos, pos) == "}" then return list, pos + 1 end
    list[#list + 1], pos = parse_statement(src, pos)
  end
end

-- End of a simple statement: the first `;` outside brackets and braces.
local function find_semicolon(src, pos)
  local depth = 0
  for i = pos, #src do
    local c = src:sub(i, i)
    if c == "(" or c == "{" or c == "[" then depth = depth + 1
    elseif c == ")" or c == "}" or c == "]" then depth = depth - 1
    elseif c == ";" and depth == 0 then return i end
  end
  error("statement without `;`: " .. src:sub(pos, pos + 60))
end

local function squeeze(text) return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

function parse_statement(src, pos)
  pos = skip_space(src, pos)
  local c = src:sub(pos, pos)
  if c == "#" then
    local e = src:find("\n", pos, true) or #src + 1
    return { kind = "pragma", text = squeeze(src:sub(pos, e - 1)) }, e
  elseif c == "{" then
    local list, p = parse_block(src, pos + 1)
    return { kind = "block", list = list }, p
  end
  local word = src:match("^%a+", pos)
  if word == "for" or word == "while" or word == "if" then
    local open = src:find("(", pos, true)
    local close = after_balanced(src, open)
    local node = { kind = word, head = squeeze(src:sub(open, close - 1)) }
    node.body, pos = parse_statement(src, close)
    local p = skip_space(src, pos)
    if word == "if" and src:find("^else%f[%A]", p) then
      node.otherwise, pos = parse_statement(src, p + 4)
    end
    return node, pos
  end
  local e = find_semicolon(src, pos)
  return { kind = "simple", text = squeeze(src:sub(pos, e)) }, e + 1
end

---@param src string a body in canonical style
function Style.parse(src)
  local list, pos = parse_block(src, 1)
  assert(pos > #src, "stray `}`")
  return list
end

local function tighten(text)
  -- Innermost brackets first; spaces around operators go, those between words stay.
  return (text:gsub("%b[]", function(inner) return (inner:gsub("%s*([%+%-%*/%%])%s*", "%1")) end))
end

local function restyle(text, st)
  text = text:gsub("%f[%w_][%a_][%w_]*", st.names)
  if st.pre_increment then
    text = text:gsub("([%a_][%w_]*)%+%+", "++%1"):gsub("([%a_][%w_]*)%-%-", "--%1")
  end
  if st.tight_index then text = tighten(text) end
  return text
end

local function single(node)
  if node.kind == "block" then
    if #node.list == 1 then return single(node.list[1]) end
    return nil
  end
  return node
end

local print_list

-- A brace-free body is allowed for a lone simple statement, or (nested style) for a lone loop around such, or (lone style) for
-- any lone loop.
local function bare(node, st)
  local one = single(node)
  if not one or one.kind == "pragma" or st.braces == "always" then return nil end
  if one.kind == "simple" then return one end
  if st.braces == "lone" then return (one.kind == "for" or one.kind == "while") and one or nil end
  if st.braces == "nested" and one.kind ~= "if" and bare(one.body, st) then return one end
  return nil
end

local function print_node(node, depth, st, out)
  local pad = (" "):rep(st.indent * depth)
  if node.kind == "pragma" then
    out[#out + 1] = restyle(node.text, st)
  elseif node.kind == "simple" then
    out[#out + 1] = pad .. restyle(node.text, st)
  elseif node.kind == "block" then
    out[#out + 1] = pad .. "{"
    print_list(node.list, depth + 1, st, out)
    out[#out + 1] = pad .. "}"
  else
    local head = pad .. node.kind .. " " .. restyle(node.head, st)
    local one = bare(node.body, st)
    if one and node.otherwise and not bare(node.otherwise, st) and node.otherwise.kind ~= "if" then one = nil end
    if one then
      out[#out + 1] = head
      print_node(one, depth + 1, st, out)
    else
      out[#out + 1] = head .. " {"
      print_list(node.body.kind == "block" and node.body.list or { node.body }, depth + 1, st, out)
      out[#out + 1] = pad .. "}"
    end
    local other = node.otherwise
    if other then
      local lead = one and pad .. "else" or table.remove(out) .. " else"
      if other.kind == "if" then
        local at = #out + 1
        print_node(other, depth, st, out)
        out[at] = lead .. " " .. out[at]:sub(#pad + 1)
      elseif one and bare(other, st) then
        out[#out + 1] = lead
        print_node(bare(other, st), depth + 1, st, out)
      else
        out[#out + 1] = lead .. " {"
        print_list(other.kind == "block" and other.list or { other }, depth + 1, st, out)
        out[#out + 1] = pad .. "}"
      end
    end
  end
end

function print_list(list, depth, st, out)
  for _, node in ipairs(list) do print_node(node, depth, st, out) end
end

---Prints statements under a style { indent, braces = "always"|"single"|"nested"|"lone", pre_increment, tight_index, names = { old = new } }.
function Style.print(list, st)
  local out = {}
  print_list(list, 1, st, out)
  return table.concat(out, "\n")
end

function Style.render(src, st) return Style.print(Style.parse(src), st) end

---Identifiers of a text, as a set.
function Style.identifiers(text)
  local set = {}
  for word in text:gsub("%f[%w_]%d[%w_%.]*", " "):gmatch("%f[%w_][%a_][%w_]*") do set[word] = true end
  return set
end

---The token stream that decides whether two bodies are copies: no comments, no white space, every identifier the same.
function Style.fingerprint(text)
  local toks = {}
  text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", " ")
  local pos = 1
  while true do
    pos = skip_space(text, pos)
    if pos > #text then break end
    local t = text:match("^[%a_][%w_]*", pos)
    if t then
      toks[#toks + 1] = Style.keywords[t] and t or "@"
    else
      t = text:match("^%.?%d[%w_%.]*[+-]?%d*[%w]*", pos)
      if t and not t:find("[eE][+-]") then t = text:match("^%.?%d[%w_%.]*", pos) end
      t = t or text:match("^[%+%-%*/%%<>=!&|]=", pos) or text:match("^%+%+", pos) or text:match("^%-%-", pos)
        or text:match("^&&", pos) or text:match("^||", pos) or text:match("^<<", pos) or text:match("^>>", pos)
        or text:sub(pos, pos)
      toks[#toks + 1] = t
    end
    pos = pos + #(t or " ")
  end
  return table.concat(toks, " ")
end

Style.keywords = {}
for word in ("for while if else return const float int long void unsigned char restrict union double static break continue "
  .. "pragma omp simd reduction expf logf sqrtf fabsf fmaxf fminf tanhf powf floorf sinf cosf erff log1pf expm1f "
  .. "atanf exp2f log2f coshf sinhf rsqrtf ceilf truncf roundf max min"):gmatch("%S+") do
  Style.keywords[word] = true
end

return Style
