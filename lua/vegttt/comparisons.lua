-- SPDX-License-Identifier: Apache-2.0
--
-- Every comparison of a user's functions, counted by its outcome. A compiler's own counters count branches, and a clamp
-- need not have one: `v > 255 ? 255 : v` becomes a minimum before there is code, and so do fminf and `(v > 0) * v`. So
-- in a copy of the preprocessed file each comparison is put into a call, vt_seen(3, v > 255), and what takes a smaller,
-- a larger or an absolute value is called with a number, too. A comparison that was made and never went one way is a
-- guard that a kernel may leave out without being noticed.
--
-- How far the two sides of a comparison go follows from the precedence of C's operators; where that is not certain the
-- comparison is left as it is, and whether the copy is C the compiler says.
local comparisons = {}

local function set_of(words)
  local out = {}
  for w in words:gmatch "%S+" do out[w] = true end
  return out
end

local relational, equality = set_of "< > <= >=", set_of "== !="
local opens, closes = { ["("] = ")", ["["] = "]", ["{"] = "}" }, { [")"] = "(", ["]"] = "[", ["}"] = "{" }
local ends = set_of ", ; ? : = += -= *= /= %= &= |= ^= <<= >>= && || | ^ return case else do goto default"
local tests = set_of [[__builtin_isnan __builtin_isinf __builtin_isinf_sign __builtin_isfinite __builtin_isnormal
  __builtin_signbit isnan isinf isfinite isnormal signbit]]
local choosers = { fminf = "f", fmaxf = "f", fmin = "", fmax = "", fabsf = "f", fabs = "", abs = "", labs = "", llabs = "" }
local punctuators = { "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=",
  "/=", "%=", "&=", "|=", "^=" }
local is_punctuator = {}
for _, p in ipairs(punctuators) do is_punctuator[p] = true end

---What counts, before all else; a text in C of 1989.
comparisons.before = [[
static long long vt_outcome[@N@ + 1][2];
static int vt_seen(int id, int is_so) { vt_outcome[id][is_so != 0]++; return is_so; }
static float vt_fminf(int id, float a, float b) { if (a < b || b < a) vt_outcome[id][a < b]++; return __builtin_fminf(a, b); }
static float vt_fmaxf(int id, float a, float b) { if (a < b || b < a) vt_outcome[id][a < b]++; return __builtin_fmaxf(a, b); }
static double vt_fmin(int id, double a, double b) { if (a < b || b < a) vt_outcome[id][a < b]++; return __builtin_fmin(a, b); }
static double vt_fmax(int id, double a, double b) { if (a < b || b < a) vt_outcome[id][a < b]++; return __builtin_fmax(a, b); }
static float vt_fabsf(int id, float a) { vt_outcome[id][a < 0]++; return __builtin_fabsf(a); }
static double vt_fabs(int id, double a) { vt_outcome[id][a < 0]++; return __builtin_fabs(a); }
static int vt_abs(int id, int a) { vt_outcome[id][a < 0]++; return a < 0 ? -a : a; }
static long vt_labs(int id, long a) { vt_outcome[id][a < 0]++; return a < 0 ? -a : a; }
static long long vt_llabs(int id, long long a) { vt_outcome[id][a < 0]++; return a < 0 ? -a : a; }
]]

-- ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Tokens of one line into `list`: { text, line, at = in the list of pieces }; `pieces` are all that is written again.
local function read_line(list, pieces, line, n)
  local i = 1
  while i <= #line do
    local space = line:match("^%s+", i)
    local text = space or line:match("^[%a_$][%w_$]*", i) or line:match("^%.?%d[%w.]*", i)
    if text and text:find "^%.?%d" then
      while text:find "[eEpP]$" and line:find("^[+-]", i + #text) do
        text = text .. line:sub(i + #text, i + #text) .. line:match("^[%w.]*", i + #text + 1)
      end
    elseif not text then
      local one = line:sub(i, i)
      if one == '"' or one == "'" then
        local stop = i + 1
        while stop <= #line and line:sub(stop, stop) ~= one do stop = stop + (line:sub(stop, stop) == "\\" and 2 or 1) end
        text = line:sub(i, stop)
      else
        local three, two = line:sub(i, i + 2), line:sub(i, i + 1)
        text = is_punctuator[three] and three or is_punctuator[two] and two or one
      end
    end
    pieces[#pieces + 1] = text
    if not space then list[#list + 1] = { text = text, line = n, at = #pieces } end
    i = i + #text
  end
end

-- The index of the bracket that belongs to the one at i, for every bracket.
local function match_brackets(list)
  local stack, other = {}, {}
  for i, t in ipairs(list) do
    if opens[t.text] then
      stack[#stack + 1] = i
    elseif closes[t.text] and #stack > 0 then
      local from = table.remove(stack)
      other[from], other[i] = i, from
    end
  end
  return other
end

local function is_operand_end(t) return t and (t.text:find "^[%w_.\"']" or t.text == ")" or t.text == "]") ~= nil end

-- Where one side of the comparison at i ends; nil: not certain.
local function side(list, other, i, step)
  local mine = relational[list[i].text] and relational or equality
  local j = i + step
  while list[j] do
    local text = list[j].text
    local is_inner = step < 0 and closes[text] or step > 0 and opens[text]
    if is_inner then
      j = other[j]
      if not j then return nil end
    elseif opens[text] or closes[text] or ends[text] then
      break
    elseif mine[text] then
      return nil
    elseif mine == relational and equality[text] or text == "&" and is_operand_end(list[j - 1]) then
      break
    end
    j = j + step
  end
  return list[j] and j ~= i + step and j - step or nil
end

-- ── sites ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function text_of(list, from, to)
  local out = {}
  for i = from, to do
    local last = out[#out]
    out[#out + 1] = (last and last:find "[%w_]$" and list[i].text:find "^[%w_]" and " " or "") .. list[i].text
  end
  local text = table.concat(out):gsub("([%w_%)%]])([<>=!]=?)([%w_%(%-])", "%1 %2 %3")
  return #text > 60 and text:sub(1, 57) .. "..." or text
end

-- A comparison of constants goes one way only.
local function has_name(list, from, to)
  local has = false
  for i = from, to do
    if list[i].text == "sizeof" then return false end
    has = has or list[i].text:find "^[%a_]" ~= nil
  end
  return has
end

local function add(sites, list, from, to, is_chooser)
  sites[#sites + 1] = { line = list[from].line, text = text_of(list, from, to), is_chooser = is_chooser }
  return #sites
end

-- What begins a statement whose expressions must stay constant.
local constant = set_of "static _Static_assert case enum typedef"

-- The braces of each function.
local function each_body(list, other)
  local i = 1
  return function()
    while list[i] do
      local at = i
      i = i + 1
      if list[at].text == "{" and other[at] then
        i = other[at] + 1
        if list[at - 1] and list[at - 1].text == ")" then return at, other[at] end
      end
    end
  end
end

local function mark(list, other, own, pieces, sites, first, last)
  local i, begins = first + 1, true
  while i < last do
    local t = list[i].text
    if begins and constant[t] then
      local stop = t == "case" and ":" or ";"
      while i < last and list[i].text ~= stop do i = opens[list[i].text] and other[i] or i + 1 end
    elseif relational[t] or equality[t] then
      local from, to = side(list, other, i, -1), side(list, other, i, 1)
      if from and to and has_name(list, from, to) then
        local id = add(sites, list, from, to)
        pieces[list[from].at] = ("vt_seen(%d, "):format(id) .. pieces[list[from].at]
        pieces[list[to].at] = pieces[list[to].at] .. ")"
      end
    elseif list[i + 1].text == "(" and other[i + 1] then
      local name, stop = t:gsub("^__builtin_", ""), other[i + 1]
      if tests[t] then
        pieces[list[i].at] = ("vt_seen(%d, "):format(add(sites, list, i, stop)) .. pieces[list[i].at]
        pieces[list[stop].at] = pieces[list[stop].at] .. ")"
      elseif choosers[name] and not own[t] and not (list[i - 1].text == "." or list[i - 1].text == "->") then
        pieces[list[i].at] = "vt_" .. name
        pieces[list[i + 1].at] = ("(%d, "):format(add(sites, list, i, stop, true)) .. pieces[list[i + 1].at]:sub(2)
      end
    end
    begins = t == ";" or t == "{" or t == "}" or t == ":"
    i = i + 1
  end
end

---A preprocessed text with the comparisons of `file` in calls, and the sites by number: { line, text, is_chooser }. A marker
---of the place stands only where the file changes: gcov takes a function for one line when others are inside it.
function comparisons.counted(preprocessed, file)
  local list, pieces, sites = {}, {}, {}
  local n, name, at, in_file = 1, "", 1, nil -- of the text that comes; of what was written
  for line in preprocessed:gmatch "([^\n]*)\n?" do
    local number, of = line:match '^#%s*(%d+)%s+"(.-)"'
    if number then
      n, name = tonumber(number), of
    elseif line:find "%S" then
      if name ~= in_file then
        pieces[#pieces + 1] = ('\n# %d "%s"\n'):format(n, name)
      else
        pieces[#pieces + 1] = n > at and ("\n"):rep(n - at) or " "
      end
      at, in_file = n, name
      if name == file and not line:find "^%s*#" then read_line(list, pieces, line, n) else pieces[#pieces + 1] = line end
      n = n + 1
    else
      n = n + 1
    end
  end
  pieces[#pieces + 1] = "\n"
  local other, own, bodies = match_brackets(list), {}, {}
  for first, last in each_body(list, other) do
    local head = list[(other[first - 1] or 1) - 1]
    if head then own[head.text] = true end
    bodies[#bodies + 1] = { first, last }
  end
  for _, b in ipairs(bodies) do mark(list, other, own, pieces, sites, b[1], b[2]) end
  return comparisons.before:gsub("@N@", tostring(#sites)) .. table.concat(pieces), sites
end

return comparisons
