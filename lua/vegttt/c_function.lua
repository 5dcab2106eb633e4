-- SPDX-License-Identifier: Apache-2.0
--
-- One C function of a file, for `vegttt optimise`: where it stands, what its parameters are and what else it touches.
-- The file is compiled as it is, with the user's options, and the compiler is asked (dwarf.lua): for the types behind
-- typedefs and macros, for the global variables and outside functions that the function reaches through all its
-- helpers. What a task cannot hold is refused in a sentence that names it.
local c_compiler = require "vegttt.c_compiler"
local c_source = require "vegttt.c_source"
local core = require "vegttt.core"
local dwarf = require "vegttt.dwarf"
local errors = require "vegttt.errors"

local c_function = {}

-- Functions of the C library that compute and do nothing else, beside those of <math.h>.
local callable = {}
for name in ("memcpy memmove memset memcmp memchr malloc aligned_alloc posix_memalign calloc realloc free abs labs llabs "
  .. "abort qsort bsearch strlen "
  .. "__assert_fail __stack_chk_fail __memcpy_chk __memset_chk __memmove_chk __errno_location"):gmatch "%S+" do
  callable[name] = true
end
local mathematics = {}
for name in ("acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 exp10 expm1 fabs "
  .. "fdim floor fma fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb lrint "
  .. "lround modf nearbyint nextafter pow remainder remquo rint round scalbln scalbn sin sincos sinh sqrt tan tanh "
  .. "tgamma trunc __isnan __isinf __finite __fpclassify __signbit"):gmatch "%S+" do
  mathematics[name], mathematics[name .. "f"] = true, true
end

---Whether a file may need this function of others: it computes and does nothing else.
function c_function.is_callable(name) return callable[name] or mathematics[name] or name:find "^__builtin" ~= nil end

-- Compiled so that every function and every variable has a section of its own, and nothing is folded away.
local observing = { "-g", "-O0", "-fno-inline", "-ffunction-sections", "-fdata-sections", "-w", "-c" }

---The user's options and those under which the compiler tells most.
function c_function.observing_options(cflags)
  local options = table.move(cflags, 1, #cflags, 1, {})
  return table.move(observing, 1, #observing, #options + 1, options)
end

---A text in which a static function that nothing calls is compiled all the same.
function c_function.kept(text, name)
  return ("%s\nextern const void *const vt_kept;\nconst void *const vt_kept = (const void *)&%s;\n"):format(text, name)
end

local function observe(folder, text, name, file, cflags)
  local options = c_function.observing_options(cflags)
  table.move({ "-o", "observed.o" }, 1, 2, #options + 1, options)
  local ok, out = folder:compile("observed.c", text, options)
  if not ok then errors.usage("%s does not compile: %s", file, (c_compiler.first_error(out):gsub("observed%.c", file))) end
  if not folder:compile("observed.c", c_function.kept(text, name), options) then errors.usage("%s does not define a function %s", file, name) end
  local info, has_info = folder:run "readelf --debug-dump=info observed.o"
  local sections, has_sections = folder:run "readelf -rSsW observed.o"
  if not has_info or not has_sections then
    errors.usage("cannot look into a compiled file: readelf does not work; install binutils")
  end
  return info, sections
end

local function definition(list, name)
  for _, e in ipairs(list) do
    if e.tag == "subprogram" and e.name == name and e.depth == 1 and not e.declaration and e.decl_line
      and (e.low_pc or e.ranges or e.inline) then
      return e
    end
  end
end

-- The word that C has for values of a type that the task passes as an int.
local function value_of(type, what)
  if type.kind == "base" and type.is_float then return { kind = "scalar", dtype = type.dtype } end
  if type.kind == "base" and type.dtype then return { kind = "int", dtype = type.dtype, is_bool = type.is_bool } end
  errors.usage("%s is a `%s`; single values can be float, double, bool and the integers of 8 to 64 bits", what, type.text)
end

local function array_of(type, what)
  local to, n = type.to, 1
  if to.kind == "array" then to, n = to.of, to.n end
  if n == 0 then errors.usage("%s points to rows whose length is a parameter; pass a flat array", what) end
  if to.kind == "pointer" then errors.usage("%s is a `%s`; arrays must be flat, one pointer deep", what, type.text) end
  if to.kind ~= "base" or not to.dtype then
    errors.usage("%s is a `%s`; arrays can hold float, double, bool and the integers of 8 to 64 bits", what, type.text)
  end
  return { kind = "array", dtype = to.dtype, is_bool = to.is_bool, role = to.is_const and "in" or "state", inner = n }
end

local function parameters_of(list, by_offset, entry, name)
  local out = {}
  for i, e in ipairs(list) do
    if list[i] and e.parent == entry and e.tag == "unspecified_parameters" then
      errors.usage("%s takes a varying number of arguments; a task has as many as its prototype says", name)
    end
    if e.parent == entry and e.tag == "formal_parameter" then
      local type = dwarf.type_of(list, by_offset, e.type)
      if not e.name then errors.usage("parameter %d of %s has no name", #out + 1, name) end
      local what = ("parameter '%s' of %s"):format(e.name, name)
      local p = type.kind == "pointer" and array_of(type, what) or value_of(type, what)
      p.name, p.text = e.name, type.text
      if type.kind ~= "pointer" then p.text = p.text:gsub("^const ", "") end
      out[#out + 1] = p
    end
  end
  return out
end

---The variable after which a section of one variable is named.
function c_function.variable_name(section)
  return section:match "^COMMON (.+)$" or section:gsub("^%.data%.rel%.local%.", ""):gsub("^%.data%.rel%.", "")
    :gsub("^%.t?data%.", ""):gsub("^%.t?bss%.", "")
end

-- Variables that can be written and that the function reaches: they are inputs of the task, and outputs.
local function globals_of(list, by_offset, reached, name)
  local out = {}
  for section in pairs(reached.data) do
    local variable, found = c_function.variable_name(section), nil
    for _, e in ipairs(list) do
      if e.tag == "variable" and e.depth == 1 and e.name == variable and (e.location or not found) then found = e end
    end
    if variable:find "%.%d+$" or not found then
      errors.usage("%s keeps `%s` from call to call (a static variable inside a function); a task's results follow from "
        .. "its inputs alone", name, (variable:gsub("%.%d+$", "")))
    end
    local type = dwarf.type_of(list, by_offset, found.type or (found.specification and found.specification))
    local of = type.kind == "array" and type.of or type
    if of.kind ~= "base" or not of.dtype then
      errors.usage("%s uses the variable `%s`, a `%s`; a task can set numbers and arrays of numbers", name, variable, type.text)
    end
    if not of.is_const then
      out[#out + 1] = { kind = "array", name = variable, dtype = of.dtype, is_bool = of.is_bool, role = "state",
        is_global = true, n = type.kind == "array" and type.n or 1, inner = 1 }
    end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

local function check_calls(reached, name, file)
  local list = errors.keys(reached.undefined)
  for _, called in ipairs(list) do
    if not c_function.is_callable(called) then
      errors.usage("%s needs `%s`, which %s does not define and which is no function that only computes; put what it "
        .. "needs into the file", name, called, file)
    end
  end
end

-- Did the brackets find the function? Without it, its declaration in its place, the file must still be C.
local function check_cut(folder, parts, name, file, cflags)
  local options = table.move({ "-fsyntax-only", "-w" }, 1, 2, #cflags + 1, table.move(cflags, 1, #cflags, 1, {}))
  local without = ("%s%s;\n%s"):format(parts.before, parts.head:gsub("%f[%w_]always_inline%f[^%w_]", "unused"), parts.after)
  local with = ("%s%s\n{\n%s\n}%s"):format(parts.before, parts.head, parts.body, parts.after)
  if not folder:compile("cut.c", without, options) or not folder:compile("cut.c", with, options) then
    errors.usage("cannot tell where %s begins and ends in %s; write its definition as one piece, outside of macros and #if "
      .. "inside its braces", name, file)
  end
end

---{ name, file, parameters = { { name, kind = "array" | "scalar" | "int", dtype, text, role, … } }, result = nil or a
---parameter without a name, globals, before, head, body, after, shown, is_static, type }.
function c_function.read(text, name, file, cflags)
  if not name:find "^[%a_][%w_]*$" then errors.usage("'%s' is no name of a C function", name) end
  local own = c_source.own_headers(text)[1]
  if own then
    errors.usage("%s includes %s, which a jailed candidate cannot see; put what the function needs into the file", file, own)
  end
  local folder = c_compiler.folder()
  local ok, result = pcall(function()
    local info, sections = observe(folder, text, name, file, cflags)
    local list, by_offset = dwarf.entries(info)
    local entry = definition(list, name) or errors.usage("%s does not define a function %s", file, name)
    local parts = dwarf.number(entry.decl_file) and c_source.cut(text, name, dwarf.number(entry.decl_line))
    if not parts or not entry.prototyped then
      errors.usage("cannot tell where %s begins and ends in %s; write its definition with a prototype, outside of macros",
        name, file)
    end
    check_cut(folder, parts, name, file, cflags)
    local f = { name = name, file = file, cflags = cflags, is_static = not entry.external,
      parameters = parameters_of(list, by_offset, entry, name), shown = c_source.shown(parts) }
    for k, v in pairs(parts) do f[k] = v end
    local type = dwarf.type_of(list, by_offset, entry.type)
    if type.kind ~= "void" then
      f.result = value_of(type, ("what %s returns"):format(name))
      f.result.text = type.text
    end
    local from = ".text." .. name
    local reached = dwarf.reached(sections, from)
    check_calls(reached, name, file)
    f.globals = globals_of(list, by_offset, reached, name)
    local texts = {}
    for i, p in ipairs(f.parameters) do texts[i] = p.text end
    f.result_text = f.result and f.result.text or "void"
    f.type = ("%s (%s)"):format(f.result_text, #texts > 0 and table.concat(texts, ", ") or "void")
    return f
  end)
  folder:close()
  if not ok then error(result, 0) end
  return result
end

---The whole file with a candidate (a body, or a whole function with its helpers) in the function's place: what the
---evaluator compiles for it, without the entry behind it and without line directives.
function c_function.file_with(task, code)
  local unit = core.assemble(task.handle, code)
  local text = unit:sub(1, unit:find('\n#line 1 "unit.c"\n', 1, true) - 1)
  text = ("\n" .. text):gsub('\n#line 1 "kernel%.c"\n', "\n"):gsub('\n#line 1 "signature%.c"\n', "\n")
    :gsub('\n#line 1 "rest%.c"\n\n?', "\n")
  return text:sub(2)
end

return c_function
