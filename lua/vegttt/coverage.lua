-- SPDX-License-Identifier: Apache-2.0
--
-- What the drawn inputs make a user's function do, seen by running it: the file, compiled with the compiler's own
-- counters (--coverage) behind a main that calls the function on the very input sets on which a task check would. Two
-- things are learnt that C does not say. Which of the arrays it may write it really writes, and whether what it finds
-- in them matters (each is given other contents, one at a time): inputs, outputs or both. And which lines and branches
-- nothing reached: a candidate that leaves them out is tested equal all the same, so they are shown, and named in
-- the result.
local c_compiler = require "vegttt.c_compiler"
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
static void vt_other(unsigned char *p, const char *type, size_t n, size_t width)
{
    if (strcmp(type, "f32") == 0)
        for (size_t i = 0; i < n / 4; i++)
            ((float *)p)[i] = -0.75f * ((float *)p)[i] - 0.1f;
    else if (strcmp(type, "f64") == 0)
        for (size_t i = 0; i < n / 8; i++)
            ((double *)p)[i] = -0.75 * ((double *)p)[i] - 0.1;
    else
        for (size_t i = 0; i < n; i += width)
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
    long long n_sets = 0, size[S + 1], head[2];
    if (!f || fread(&n_sets, 8, 1, f) != 1)
        return 3;
    for (long long set = 0; set < n_sets; set++) {
        unsigned char *given[N], *was[N], *a[N], *first[N];
        size_t bytes[N];
        if (S > 0 && fread(size, 8, S, f) != S)
            return 3;
        for (int i = 0; i < N; i++) {
            if (fread(head, 8, 2, f) != 2)
                return 3;
            bytes[i] = (size_t)head[0];
            given[i] = head[1] ? vt_load(f, (bytes[i] + 7) / 8 * 8) : calloc(1, bytes[i] + 64);
            was[i] = malloc(bytes[i]), a[i] = malloc(bytes[i]), first[i] = malloc(bytes[i]);
        }
        for (int other = -1; other < N; other++) {
            if (other >= 0 && !may_write[other])
                continue;
            for (int i = 0; i < N; i++) {
                memcpy(was[i], given[i], bytes[i]);
                if (i == other)
                    vt_other(was[i], type[i], bytes[i], width[i]);
                memcpy(a[i], was[i], bytes[i]);
            }
            @CALL@;
            for (int i = 0; i < N; i++)
                for (size_t k = 0; k + width[i] <= bytes[i]; k += width[i]) {
                    int is_same = memcmp(a[i] + k, was[i] + k, width[i]) == 0;
                    if (other < 0) {
                        memcpy(first[i] + k, a[i] + k, width[i]);
                        continue;
                    }
                    int was_same = memcmp(first[i] + k, given[i] + k, width[i]) == 0;
                    if (i == other) {
                        written[i] += !is_same || !was_same;
                        left[i] += is_same && was_same;
                    }
                    if (memcmp(a[i] + k, first[i] + k, width[i]) != 0 && !(i == other && is_same && was_same))
                        matters[other]++;
                }
        }
        for (int i = 0; i < N; i++)
            free(given[i]), free(was[i]), free(a[i]), free(first[i]);
    }
    for (int i = 0; i < N; i++)
        printf("VTARRAY %d %lld %lld %lld\n", i, written[i], left[i], matters[i]);
    return 0;
}
]]

local widths = { u8 = 1, i8 = 1, u16 = 2, i16 = 2, u32 = 4, i32 = 4, f32 = 4, u64 = 8, i64 = 8, f64 = 8 }
local c_types = { f32 = "float", f64 = "double", i8 = "signed char", i16 = "short", i32 = "int", i64 = "long long",
  u8 = "unsigned char", u16 = "unsigned short", u32 = "unsigned", u64 = "unsigned long long" }

local function source(text, document)
  local types, width, writable, arguments = {}, {}, {}, {}
  for i, a in ipairs(document.arrays) do
    types[i], width[i] = ('"%s"'):format(a.dtype), tostring(widths[a.dtype])
    writable[i] = a.role == "state" and "1" or "0"
    arguments[i] = ("(%s *)(void *)a[%d]"):format(c_types[a.dtype], i - 1)
  end
  for i = 1, #document.size_order do arguments[#arguments + 1] = ("(int)size[%d]"):format(i - 1) end
  local call = ("vt_entry(%s)"):format(table.concat(arguments, ", "))
  local values = { TYPES = table.concat(types, ", "), WIDTHS = table.concat(width, ", "),
    WRITABLE = table.concat(writable, ", "), N = #types, S = #document.size_order, CALL = call }
  return ("#define main vt_users_main\n#line 1 \"user.c\"\n%s\n#line 1 \"entry.c\"\n%s\n%s"):format(text,
    document.unit.entry, (program:gsub("@(%u+)@", function(w) return tostring(values[w]) end)))
end

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

-- Lines of the function, and of functions that it called, which nothing reached; and those from which one way was
-- never taken.
local function unreached(counters, text)
  local ok, report = pcall(core.json_decode, counters, "the compiler's counters")
  if not ok or type(report.files) ~= "table" then return nil end
  local out, by_line = {}, {}
  for _, file in ipairs(report.files) do
    if file.file == "user.c" then
      local called = {}
      for _, f in ipairs(file.functions) do called[f.name] = f.execution_count > 0 end
      for _, line in ipairs(file.lines) do
        if called[line.function_name] then -- more than once when it is of a function that was inlined
          local is_one_way = false
          for _, b in ipairs(line.branches or {}) do is_one_way = is_one_way or b.count == 0 and not b.throw end
          local kind = line.count == 0 and "line" or is_one_way and "branch" or "reached"
          by_line[line.line_number] = math.max(by_line[line.line_number] or 1, kinds[kind])
        end
      end
    end
  end
  local numbers = {}
  for n in pairs(by_line) do numbers[#numbers + 1] = n end
  table.sort(numbers)
  for i, n in ipairs(numbers) do
    local kind = by_line[n]
    local is_followed = kind == kinds.branch and numbers[i + 1] == n + 1 and by_line[n + 1] == kinds.line
    if kind ~= kinds.reached and not is_followed then
      out[#out + 1] = { line = n, kind = kind == kinds.line and "line" or "branch", text = line_of(text, n) }
    end
  end
  return out
end

---Runs the function on a draft of its task, in which every array that it may write is both input and output.
---{ roles = { name = "in" | "out" | "state" }, unreached = { { line, kind, text }, … } or nil, has_crashed }.
function coverage.observe(fn, document, task, text)
  local folder = c_compiler.folder()
  local ok, result = pcall(function()
    core.task_inputs(task.handle, folder:path "inputs")
    core.write(folder:path "counted.c", source(text, document))
    local words = {}
    for _, w in ipairs(fn.cflags) do words[#words + 1] = verb.quote(w) end
    local cc = c_compiler.command()
    local built = table.concat(words, " ")
    local said, is_built = folder:run(("%s %s -O0 -w --coverage -c counted.c && %s --coverage -o counted counted.o -lm"):format(
      cc, built, cc))
    local has_counters = is_built
    if not is_built then
      said, is_built = folder:run(("%s %s -O0 -w -o counted counted.c -lm"):format(cc, built))
    end
    if not is_built then return { roles = {}, problem = c_compiler.first_error(said) } end
    local out, has_run = folder:run "timeout 60 ./counted inputs"
    if not has_run then return { roles = {}, has_crashed = true } end
    local counters = has_counters and folder:run "gcov --json-format --stdout --branch-probabilities counted.o 2>/dev/null"
    return { roles = roles_of(out, document), unreached = counters and unreached(counters:match "{.*" or "", text) }
  end)
  folder:close()
  if not ok then error(result, 0) end
  return result
end

return coverage
