-- SPDX-License-Identifier: Apache-2.0
--
-- What the drawn inputs make a user's function do, seen by running it: the file, compiled with the compiler's own
-- counters (--coverage) and every comparison counted (comparisons.lua), before a main that calls the function on the
-- very input sets on which a task check would. Two things are learnt that C does not say. Which of the arrays it may
-- write it really writes, and whether what it finds in them matters (each is given other contents, one at a time: other
-- numbers, then bytes that are no numbers, for 0 * y is no 0 if y is none): inputs, outputs or both. And which lines,
-- branches and outcomes nothing reached: a candidate that leaves them out is tested equal all the same, so they are
-- shown, and named in the result. The program is C of 1989, which every -std takes.
local c_compiler = require "vegttt.c_compiler"
local comparisons = require "vegttt.comparisons"
local core = require "vegttt.core"
local verb = require "vegttt.verb_common"

local coverage = {}

local program = [[
#undef main
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *vt_load(FILE *f, size_t n)
{
    void *p = calloc(1, n + 64);
    if (!p || fread(p, 1, n, f) != n)
        exit(3);
    return p;
}
static void vt_change(unsigned char *p, const char *type, size_t n, size_t width, int is_number)
{
    size_t i;
    if (!is_number)
        memset(p, 0xff, n);
    else if (strcmp(type, "f32") == 0)
        for (i = 0; i < n / 4; i++)
            ((float *)p)[i] = -0.75f * ((float *)p)[i] - 0.1f;
    else if (strcmp(type, "f64") == 0)
        for (i = 0; i < n / 8; i++)
            ((double *)p)[i] = -0.75 * ((double *)p)[i] - 0.1;
    else
        for (i = 0; i < n; i += width)
            p[i] ^= 1;
}
int main(int argc, char **argv)
{
    static const char *const type[] = {@TYPES@};
    static const size_t width[] = {@WIDTHS@};
    static const char may_write[] = {@WRITABLE@};
    enum { N = @N@, S = @S@ };
    static long long written[N], left[N], matters[N];
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    long long n_sets = 0, size[S + 1], head[2], set;
    int i, other;
    size_t k;
    if (!f || fread(&n_sets, 8, 1, f) != 1)
        return 3;
    for (set = 0; set < n_sets; set++) {
        unsigned char *given[N], *was[N], *a[N], *first[N];
        size_t bytes[N];
        if (S > 0 && fread(size, 8, S, f) != S)
            return 3;
        for (i = 0; i < N; i++) {
            if (fread(head, 8, 2, f) != 2)
                return 3;
            bytes[i] = (size_t)head[0];
            given[i] = head[1] ? vt_load(f, (bytes[i] + 7) / 8 * 8) : calloc(1, bytes[i] + 64);
            was[i] = malloc(bytes[i] + 1), a[i] = malloc(bytes[i] + 1), first[i] = malloc(bytes[i] + 1);
        }
        for (other = -1; other < 2 * N; other++) {
            const int at = other < 0 ? -1 : other / 2;
            if (other >= 0 && !may_write[at])
                continue;
            for (i = 0; i < N; i++) {
                memcpy(was[i], given[i], bytes[i]);
                if (i == at)
                    vt_change(was[i], type[i], bytes[i], width[i], other % 2);
                memcpy(a[i], was[i], bytes[i]);
            }
            @CALL@;
            for (i = 0; i < N; i++)
                for (k = 0; k + width[i] <= bytes[i]; k += width[i]) {
                    int is_same = memcmp(a[i] + k, was[i] + k, width[i]) == 0, was_same;
                    if (other < 0) {
                        memcpy(first[i] + k, a[i] + k, width[i]);
                        continue;
                    }
                    was_same = memcmp(first[i] + k, given[i] + k, width[i]) == 0;
                    if (i == at) {
                        written[i] += !is_same || !was_same;
                        left[i] += is_same && was_same && memcmp(was[i] + k, given[i] + k, width[i]) != 0;
                    }
                    if (memcmp(a[i] + k, first[i] + k, width[i]) != 0 && !(i == at && is_same && was_same))
                        matters[at]++;
                }
        }
        for (i = 0; i < N; i++)
            free(given[i]), free(was[i]), free(a[i]), free(first[i]);
    }
    for (i = 0; i < N; i++)
        printf("VTARRAY %d %lld %lld %lld\n", i, written[i], left[i], matters[i]);
    @OUTCOMES@
    return 0;
}
]]

-- Names that a macro of the file cannot have.
for name in ("N S i k f p a type width may_write written left matters head set other given was first bytes size at is_same "
  .. "was_same is_number"):gmatch "%S+" do
  program = program:gsub("%f[%w_@]" .. name .. "%f[^%w_@]", "vt_" .. name)
end

local outcomes = [[for (vt_i = 1; vt_i <= (int)(sizeof vt_outcome / sizeof vt_outcome[0]) - 1; vt_i++)
        printf("VTOUTCOME %d %lld %lld\n", vt_i, vt_outcome[vt_i][1], vt_outcome[vt_i][0]);]]

local widths = { u8 = 1, i8 = 1, u16 = 2, i16 = 2, u32 = 4, i32 = 4, f32 = 4, u64 = 8, i64 = 8, f64 = 8 }
local c_types = { f32 = "float", f64 = "double", i8 = "signed char", i16 = "short", i32 = "int", i64 = "long long",
  u8 = "unsigned char", u16 = "unsigned short", u32 = "unsigned", u64 = "unsigned long long" }

-- The program, with VT_OUTCOMES where counters are printed.
local function source(text, document)
  local types, width, writable, arguments = {}, {}, {}, {}
  for i, a in ipairs(document.arrays) do
    types[i], width[i] = ('"%s"'):format(a.dtype), tostring(widths[a.dtype])
    writable[i] = a.role == "state" and "1" or "0"
    arguments[i] = ("(%s *)(void *)vt_a[%d]"):format(c_types[a.dtype], i - 1)
  end
  for i = 1, #document.size_order do arguments[#arguments + 1] = ("(int)vt_size[%d]"):format(i - 1) end
  local call = ("vt_entry(%s)"):format(table.concat(arguments, ", "))
  local values = { TYPES = table.concat(types, ", "), WIDTHS = table.concat(width, ", "),
    WRITABLE = table.concat(writable, ", "), N = #types, S = #document.size_order, CALL = call,
    OUTCOMES = "VT_OUTCOMES" }
  return ("#define main vt_users_main\n#line 1 \"user.c\"\n%s\n#line 1 \"entry.c\"\n%s\n%s"):format(text,
    document.unit.entry, (program:gsub("@(%u+)@", function(w) return tostring(values[w]) end)))
end

---The program that runs the function of a file's text on input sets, to be compiled with whatever options.
function coverage.program(text, document) return (source(text, document):gsub("VT_OUTCOMES", "")) end

local function roles_of(out, document)
  local roles = {}
  for i, written, left, matters in out:gmatch "VTARRAY (%d+) (%d+) (%d+) (%d+)" do
    local a = document.arrays[tonumber(i) + 1]
    if a.role == "state" then
      roles[a.name] = written == "0" and "in" or (left == "0" and matters == "0") and "out" or "state"
    end
  end
  return roles
end

local function line_of(text, n)
  local i = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    i = i + 1
    if i == n then return (line:gsub("^%s+", ""):gsub("%s+$", "")) end
  end
  return ""
end

local kinds = { line = 1, branch = 2, reached = 3 }

-- By line of the file: whether it was reached, and every way from it taken. Only functions that were called count.
local function by_line(counters)
  local ok, report = pcall(core.json_decode, counters, "the compiler's counters")
  if not ok or type(report.files) ~= "table" then return nil end
  local out = {}
  for _, file in ipairs(report.files) do
    local called = {}
    for _, f in ipairs(file.functions) do called[f.name] = f.execution_count > 0 end
    for _, line in ipairs(file.file == "user.c" and file.lines or {}) do
      if called[line.function_name] then -- more than once when it is of a function that was inlined
        local is_one_way = false
        for _, b in ipairs(line.branches or {}) do is_one_way = is_one_way or b.count == 0 and not b.throw end
        local kind = line.count == 0 and "line" or is_one_way and "branch" or "reached"
        out[line.line_number] = math.max(out[line.line_number] or 1, kinds[kind])
      end
    end
  end
  return out
end

-- Comparisons of which only one outcome was seen: { [line] = { text, … } }.
local function one_sided(said, sites)
  local out = {}
  for id, yes, no in said:gmatch "VTOUTCOME (%d+) (%d+) (%d+)" do
    local s = sites[tonumber(id)]
    if (yes == "0") ~= (no == "0") then
      local list = out[s.line] or {}
      out[s.line] = list
      local what = s.is_chooser and "`%s` always takes the same side" or yes == "0" and "`%s` never true" or "`%s` never false"
      list[#list + 1] = what:format(s.text)
    end
  end
  return out
end

-- Lines of the function, and of functions that it called, which nothing reached, and what had one outcome only.
local function unreached(lines, sided, text)
  local out, numbers = {}, {}
  for n in pairs(lines) do numbers[#numbers + 1] = n end
  for n in pairs(sided) do
    if not lines[n] then numbers[#numbers + 1] = n end
  end
  table.sort(numbers)
  local function add(n, kind) out[#out + 1] = { line = n, kind = kind, text = line_of(text, n) } end
  for i, n in ipairs(numbers) do
    local kind, said = lines[n], {}
    local is_followed = numbers[i + 1] == n + 1 and lines[n + 1] == kinds.line
    for _, what in ipairs(sided[n] or {}) do
      if not said[what] and not is_followed then add(n, what) end
      said[what] = true
    end
    if kind == kinds.line then add(n, "never reached") end
    if kind == kinds.branch and not is_followed and not sided[n] then add(n, "one way never taken") end
  end
  return out
end

-- The program with and without its counters: whether it was built, the sites of comparisons or nil, what was said.
local function build(folder, text, document, cflags)
  local words = {}
  for _, w in ipairs(cflags) do
    if w ~= "-pedantic-errors" then words[#words + 1] = verb.quote(w) end
  end
  local compile = ("%s %s -O0 -w"):format(c_compiler.command(), table.concat(words, " "))
  local whole = source(text, document)
  core.write(folder:path "plain.c", whole)
  local preprocessed, is_c = folder:run(compile .. " -E plain.c")
  if is_c then
    local counted, sites = comparisons.counted(preprocessed, "user.c")
    core.write(folder:path "counted.c", (counted:gsub("VT_OUTCOMES", function() return outcomes end)))
    local _, is_built = folder:run(("%s --coverage -c counted.c && %s --coverage -o counted counted.o -lm"):format(compile,
      c_compiler.command()))
    if is_built then return true, sites end
  end
  core.write(folder:path "counted.c", coverage.program(text, document))
  local said, is_built = folder:run(("%s -o counted counted.c -lm"):format(compile))
  return is_built, nil, said
end

---Runs the function on a draft of its task, in which every array that it may write is both input and output.
---{ roles = { name = "in" | "out" | "state" }, unreached = { { line, kind, text }, … } or nil, has_crashed, problem }.
function coverage.observe(fn, document, task, text)
  local folder = c_compiler.folder()
  local ok, result = pcall(function()
    core.task_inputs(task.handle, folder:path "inputs")
    local is_built, sites, said = build(folder, text, document, fn.cflags)
    if not is_built then return { roles = {}, problem = c_compiler.first_error(said) } end
    local out, has_run = folder:run "timeout 60 ./counted inputs"
    if not has_run then return { roles = {}, has_crashed = true } end
    local seen = { roles = roles_of(out, document) }
    local counters = sites and folder:run "gcov --json-format --stdout --branch-probabilities counted.o 2>/dev/null"
    local lines = counters and by_line(counters:match "{.*" or "")
    if lines then seen.unreached = unreached(lines, one_sided(out, sites), text) end
    return seen
  end)
  folder:close()
  if not ok then error(result, 0) end
  return result
end

return coverage
