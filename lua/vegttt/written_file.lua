-- SPDX-License-Identifier: Apache-2.0
--
-- May a kernel stand in the user's file? It was judged by what it computes when it is called; a file has more that must
-- stay: what it defines for others, what it needs from others, what its other functions mean, which of its variables
-- the function touches. The file with the original and the file with the kernel are compiled side by side, with the
-- user's options, and the compiler is asked: the symbol tables must say the same, the text behind the function must be
-- the same after the preprocessor, and no variable of the file may be reached that the original does not reach. Helpers
-- of the kernel's own that it forgot to make `static` are made so. What then differs is refused in one sentence.
--
-- The engine restores macros and options behind a kernel (engine/eval: unit.c); pragmas that it cannot take back are
-- refused here by their names.
local c_compiler = require "vegttt.c_compiler"
local c_function = require "vegttt.c_function"
local c_source = require "vegttt.c_source"
local core = require "vegttt.core"
local dwarf = require "vegttt.dwarf"
local errors = require "vegttt.errors"

local written_file = {}

---The sets of options under which a kernel may hold: the user's own, then with what its text asks for.
function written_file.flag_sets(cflags, code)
  local sets = { {} }
  local simd = code:find "#%s*pragma%s+omp" and { "-fopenmp-simd" } or {}
  if #simd > 0 then sets[#sets + 1] = simd end
  sets[#sets + 1] = table.move(simd, 1, #simd, 2, { "-march=native" })
  for _, w in ipairs(cflags) do
    if w:find "^%-march=" then table.remove(sets) break end
  end
  for i, needed in ipairs(sets) do
    local all = table.move(cflags, 1, #cflags, 1, {})
    sets[i] = { needed = needed, cflags = table.move(needed, 1, #needed, #all + 1, all) }
  end
  return sets
end

-- ── pragmas ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Those that speak of the statement behind them, or that the engine takes back.
local harmless = { omp = true, unroll = true, ivdep = true, nounroll = true, ["GCC ivdep"] = true, ["GCC unroll"] = true,
  ["GCC optimize"] = true, ["GCC target"] = true, ["GCC push_options"] = true, ["GCC pop_options"] = true,
  ["GCC diagnostic"] = true, ["clang loop"] = true, ["clang fp"] = true }

local function pragmas_of(code)
  local joined, plain = code:gsub("\\\r?\n", " "), nil
  plain = c_source.blank(joined)
  local out = {}
  for at in ("\n" .. plain):gmatch "\n[ \t]*#[ \t]*pragma()" do
    out[#out + 1] = joined:sub(at - 1):match "^[^\n]*"
  end
  for text in plain:gmatch "_Pragma%s*%(()" do out[#out + 1] = joined:sub(text):match '^%s*"(.-)"' or "" end
  return out
end

local function refused_pragma(code)
  local depth = 0
  for _, text in ipairs(pragmas_of(code)) do
    local first, second = text:match "^%s*([%w_]*)%s*([%w_]*)"
    local name = (first == "GCC" or first == "clang") and first .. " " .. second or first
    depth = depth + (name == "GCC push_options" and 1 or name == "GCC pop_options" and -1 or 0)
    if not harmless[name] then
      return ("its `#pragma %s` would hold for the rest of the file, too"):format(name)
    end
    if depth < 0 then return "its `#pragma GCC pop_options` ends what the file began" end
  end
  if depth > 0 then return "its `#pragma GCC push_options` is not taken back" end
end

-- ── what the compiler says ───────────────────────────────────────────────────────────────────────────────────────────

-- The file with this code in the function's place, with the line directives of the evaluator.
local function unit_text(task, code)
  local unit = core.assemble(task.handle, code)
  return unit:sub(1, unit:find('\n#line 1 "unit.c"\n', 1, true))
end

-- Symbols that other files see: { name = { defined, shape } }.
local function symbols_of(text)
  local out = {}
  for size, type, bind, visibility, index, name in
    text:gmatch "\n%s*%d+:%s+%x+%s+(%S+)%s+(%u+)%s+(%u+)%s+(%u+)%s+(%w+)%s+([^%s@]+)" do
    if bind ~= "LOCAL" then
      local is_here = index ~= "UND"
      out[name] = { defined = is_here, shape = is_here and ("%s %s %s %s"):format(type, bind, visibility,
        type == "OBJECT" and size or "") or bind }
    end
  end
  return out
end

-- The tokens of the file behind the function, as the preprocessor leaves them; headers are not the file's own.
local function text_behind(folder, name, text, cflags)
  local options = table.move(cflags, 1, #cflags, 1, {})
  local ok, out = folder:compile(name, text, table.move({ "-E" }, 1, 1, #options + 1, options))
  if not ok then return nil end
  local lines, is_behind = {}, false
  for line in out:gmatch "[^\n]+" do
    local file = line:match '^#%s*%d+%s+"(.-)"'
    if file then
      is_behind = file == "rest.c"
    elseif is_behind then
      lines[#lines + 1] = line
    end
  end
  return (table.concat(lines, " "):gsub("%s+", " "))
end

-- What both files are compared by; nil and what the compiler said.
local function look(folder, name, text, cflags, from)
  local file, options = name .. ".c", table.move(cflags, 1, #cflags, 1, {})
  table.move({ "-w", "-c", "-o", name .. ".o" }, 1, 4, #options + 1, options)
  local ok, said = folder:compile(file, text, options)
  if not ok then return nil, c_compiler.first_error(said) end
  local table_text = folder:run(("readelf -sW %s.o"):format(name))
  local seen = { symbols = symbols_of(table_text), variables = {}, hidden = {}, behind = text_behind(folder, file, text, cflags) }
  for n in table_text:gmatch "OBJECT%s+%u+%s+%u+%s+%w+%s+(%S+)" do seen.variables[n] = true end
  local observed = c_function.observing_options(cflags)
  table.move({ "-o", name .. ".o" }, 1, 2, #observed + 1, observed)
  folder:compile(file, c_function.kept(text, from), observed)
  local sections = folder:run(("readelf -rSsW %s.o"):format(name))
  for n in sections:gmatch "FUNC%s+LOCAL%s+%u+%s+%d+%s+(%S+)" do seen.hidden[n] = true end
  seen.reached = dwarf.reached(sections, ".text." .. from).data
  return seen
end

-- ── the comparison ───────────────────────────────────────────────────────────────────────────────────────────────────

-- Names of helpers that others would see; nil where others would see anything else differently.
local function compare_symbols(old, new, hidden)
  local exposed = {}
  for _, s in ipairs(errors.keys(old)) do
    local o, n = old[s], new[s]
    if o.defined and not (n and n.defined) then
      return nil, ("the file would no longer define `%s` for others"):format(s)
    elseif not o.defined and hidden[s] then
      return nil, ("the file would have a `%s` of its own, where it takes that of others"):format(s)
    elseif o.defined and n.shape ~= o.shape then
      return nil, ("the file would define `%s` otherwise (%s, it was %s)"):format(s, n.shape:gsub("%s+$", ""),
        (o.shape:gsub("%s+$", "")))
    end
  end
  for _, s in ipairs(errors.keys(new)) do
    local n = new[s]
    if n.defined and not (old[s] and old[s].defined) then
      if not n.shape:find "^FUNC" then
        return nil, ("the file would define the variable `%s` for others, too"):format(s)
      end
      exposed[#exposed + 1] = s
    elseif not n.defined and not old[s] and not c_function.is_callable(s) and not s:find "^_GLOBAL_OFFSET" then
      return nil, ("the file would need `%s`, which it did not"):format(s)
    end
  end
  return exposed
end

-- Memory that the kernel keeps from call to call; nil where it uses variables of the file that the original does not.
local function compare_variables(old, new, name)
  local kept = {}
  for _, section in ipairs(errors.keys(new.reached)) do
    local variable = c_function.variable_name(section)
    if not old.reached[section] then
      if old.variables[variable] then
        return nil, ("it uses the file's variable `%s`, which %s does not"):format(variable, name)
      end
      kept[#kept + 1] = (variable:gsub("%.%d+$", ""))
    end
  end
  return kept
end

-- Attributes that a declaration gives to a function of the file hold for its definition, too.
local function declares_otherwise(code, symbols, name)
  local outside = c_source.blank(code):gsub("%b{}", ";")
  for statement in outside:gmatch "[^;]+" do
    if statement:find "__attribute" or statement:find "%f[%w_]_?_?asm" or statement:find "%[%[" then
      for s in pairs(symbols) do
        if s ~= name and statement:find("%f[%w_]" .. s:gsub("%p", "%%%0") .. "%f[^%w_]") then
          return ("it declares `%s` of the file again, with attributes"):format(s)
        end
      end
    end
  end
end

-- `static` before the definitions of these functions; the engine names one after `name` that the file has, too.
local function made_static(code, names, name)
  local wanted, starts = {}, {}
  for _, n in ipairs(names) do wanted[n] = true end
  for _, d in ipairs(c_source.definitions(c_source.blank(code))) do
    if wanted[d.name] or wanted[name .. "_" .. d.name] then starts[#starts + 1] = d.from + #code:sub(d.from):match "^%s*" end
  end
  table.sort(starts, function(a, b) return a > b end)
  for _, at in ipairs(starts) do code = code:sub(1, at - 1) .. "static " .. code:sub(at) end
  return code
end

local function compare(folder, task, fn, code, cflags)
  local old, said = look(folder, "old", unit_text(task, task.body), cflags, fn.name)
  if not old then return nil, said end
  local new, why = look(folder, "new", unit_text(task, code), cflags, fn.name)
  if not new then return nil, why end
  local exposed
  exposed, why = compare_symbols(old.symbols, new.symbols, new.hidden)
  if exposed and #exposed > 0 then
    code = made_static(code, exposed, fn.name)
    new, why = look(folder, "new", unit_text(task, code), cflags, fn.name)
    if not new then return nil, why end
    exposed, why = compare_symbols(old.symbols, new.symbols, new.hidden)
  end
  if not exposed then return nil, why end
  if #exposed > 0 then return nil, ("the file would define `%s` for others, too"):format(exposed[1]) end
  if old.behind ~= new.behind then
    return nil, ("what stands behind %s would mean something else, by a macro of the kernel's or of a header that it "
      .. "includes"):format(fn.name)
  end
  why = declares_otherwise(code, old.symbols, fn.name)
  if why then return nil, why end
  local kept
  kept, why = compare_variables(old, new, fn.name)
  return kept and { code = code, kept = kept }, why
end

---Whether a kernel may stand in the file: { code = with its helpers static, kept = names of memory that it keeps from
---call to call }; or nil and one sentence.
function written_file.fit(task, fn, code)
  local why = refused_pragma(code)
  if why then return nil, why end
  local folder, found = c_compiler.folder(), nil
  local ok, problem = pcall(function()
    for _, set in ipairs(written_file.flag_sets(fn.cflags, code)) do
      found, why = compare(folder, task, fn, code, set.cflags)
      if found then return end
    end
  end)
  folder:close()
  if not ok then error(problem, 0) end
  return found, why
end

---The processors for which the kernel's text asks by itself: "avx2, fma", or nil.
function written_file.targets(code)
  local names, known = {}, {}
  local function add(list)
    for word in list:gmatch "[^,%s]+" do
      if not known[word] then
        known[word] = true
        names[#names + 1] = word
      end
    end
  end
  for list in code:gmatch 'target[%w_]*%s*%(%s*"(.-)"' do add(list) end
  for list in code:gmatch "#%s*pragma%s+GCC%s+target%s*%(?([^\n]*)" do add((list:gsub('[()"]', " "))) end
  return #names > 0 and table.concat(names, ", ") or nil
end

return written_file
