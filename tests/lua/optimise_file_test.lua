-- SPDX-License-Identifier: Apache-2.0
--
-- What `vegttt optimise` says beside "as fast": which kernels may stand in the user's file, which comparisons no input
-- decided, how wide numbers are drawn where nobody said, and the sentences about it.
local tasks = require "vegttt.tasks"
local tested_on = require "vegttt.tested_on"
local unit_task = require "vegttt.unit_task"
local user_task = require "vegttt.user_task"
local written_file = require "vegttt.written_file"

-- fn, document, seen of a text; more: options.
local function read(name, text, more)
  local f = { cflags = "-O2", tolerance = 0, file = "mine.c", ["function"] = name }
  for k, v in pairs(more) do f[k] = v end
  local fn, document, _, seen = unit_task.read(f, text)
  return fn, document, seen
end

local weights = [[
#include <stddef.h>
#define SCALE 0.5f
static int n_calls;
int shown = 3;
static float halved(float v) { return v * SCALE; }
void weigh(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = halved(x[i]) + 1.0f;
}
float scale_of_all(void) { n_calls++; return SCALE * (float)(n_calls + shown); }
int tool(int);
int used(int v) { return tool(v); }
]]
local flags = { shape = { "x=n", "y=n" }, size = { "n=64" } }
local loop = "void weigh(const float *x, float *y, int n)\n{\n    for (int i = 0; i < n; i++)\n        y[i] = x[i] * 0.5f + 1.0f;\n}\n"

describe("a fitting kernel in the user's file", function()
  local fn, document = read("weigh", weights, flags)
  local task = tasks.from_table(document, "the task")
  local function fit(code) return written_file.fit(task, fn, code) end

  it("stands there when the rest of the file stays what it was", function()
    for _, code in ipairs { "for (int i = 0; i < n; i++) y[i] = x[i] * SCALE + 1.0f;", loop,
      "#include <math.h>\n#undef SCALE\n#define SCALE 9.0f\n" .. loop,
      "#pragma GCC optimize(\"O3\")\n" .. loop,
      "static float halved(float v) { return 0.5f * v; }\n" .. loop:gsub("x%[i%] %* 0.5f", "halved(x[i])"),
      "#include <stdlib.h>\n" .. loop:gsub("{\n", "{\n    float *t = malloc(4);\n    free(t);\n", 1) } do
      local found, why = fit(code)
      expect.truthy(found, code .. tostring(why))
      expect.same(found.kept, {})
      expect.equal(found.code, code)
    end
  end)

  it("has helpers that nobody else sees", function()
    local found = fit("float one(void) { return 1.0f; }\n" .. loop:gsub("1.0f;", "one();"))
    expect.contains(found.code, "static float one(void)")
    found = fit("float halved(float v) { return v * 0.5f; }\n" .. loop:gsub("x%[i%] %* 0.5f", "halved(x[i])"))
    expect.contains(found.code, "static float halved(float v)")
  end)

  it("says what memory it keeps", function()
    local found = fit("static float table[8];\n" .. loop:gsub("{\n", "{\n    static int ready;\n    ready = 1; table[0] = x[0];\n", 1))
    table.sort(found.kept)
    expect.same(found.kept, { "ready", "table" })
  end)

  for _, case in ipairs {
    { "static " .. loop, "static declaration" },
    { "#define weigh weigh_fast\n" .. loop, "no longer define `weigh`" },
    { "int table[4];\n" .. loop, "the variable `table` for others" },
    { "int shared;\nstatic int *const at = &shared;\n" .. loop:gsub("1.0f;", "1.0f + (float)(*at - shared);"),
      "the variable `shared` for others" },
    { "#pragma GCC optimize(\"no-builtin\")\nstatic int tool(int v) { return v; }\n" .. loop:gsub("1.0f;", "(float)tool(1);"),
      "a `tool` of its own" },
    { "extern int other_file(void);\n" .. loop:gsub("1.0f;", "(float)other_file();"), "need `other_file`" },
    { "#pragma pack(1)\n" .. loop, "`#pragma pack`" },
    { "#pragma GCC visibility push(hidden)\n" .. loop, "`#pragma GCC visibility`" },
    { "_Pragma(\"weak scale_of_all\")\n" .. loop, "`#pragma weak`" },
    { "#pragma GCC pop_options\n" .. loop, "ends what the file began" },
    { "#pragma GCC push_options\n" .. loop, "not taken back" },
    { "float scale_of_all(void) __attribute__((weak));\n" .. loop, "`scale_of_all`" },
    { "float scale_of_all(void) __attribute__((optimize(\"fast-math\")));\n" .. loop, "again, with attributes" },
    { loop:gsub("1.0f;", "(float)shown - 2.0f;"), "the file's variable `shown`" },
    { loop:gsub("{\n", "{\n    n_calls++;\n", 1), "the file's variable `n_calls`" },
  } do
    it("may not stand there: " .. case[2], function()
      local found, why = fit((case[1]))
      expect.equal(found, nil)
      expect.contains(why, case[2])
    end)
  end

  it("whose header changes what stands behind it is refused", function()
    local with_i = weights:gsub("SCALE %* %(float%)", "I * (float)"):gsub("float scale_of_all", "enum { I = 2 };\nfloat scale_of_all")
    local other, its_document = read("weigh", with_i, flags)
    local found, why = written_file.fit(tasks.from_table(its_document, "the task"), other, "#include <complex.h>\n" .. loop)
    expect.equal(found, nil)
    expect.truthy(why:find("what stands behind weigh", 1, true) or why:find("error", 1, true), why)
  end)

  it("names the processor that it asks for by itself", function()
    expect.equal(written_file.targets('__attribute__((target("avx2,fma")))\nvoid f(void) {}'), "avx2, fma")
    expect.equal(written_file.targets('#pragma GCC target("avx512f")\nvoid f(void) {}'), "avx512f")
    expect.equal(written_file.targets "void f(void) {}", nil)
  end)
end)

-- ── what no input decided ────────────────────────────────────────────────────────────────────────────────────────────

local function unreached_of(name, text, more)
  local _, _, seen = read(name, text, more)
  local kinds = {}
  for i, u in ipairs(seen.unreached) do kinds[i] = u.line .. " " .. u.kind end
  return kinds
end

describe("undecided guards", function()
  local function of(body, more)
    local text = "#include <math.h>\n#include <stdlib.h>\n#define CAP(v) ((v) < 700 ? (v) : 700)\n"
      .. "static int kept(int v) { return v > 900 ? 900 : v; }\n"
      .. "void tone(const int *x, float *y, int n)\n{\n    for (int i = 0; i < n; i++) {\n" .. body .. "\n    }\n}\n"
    local f = { shape = { "x=n", "y=n" }, size = { "n=200" }, range = { "x=0:400" } }
    for k, v in pairs(more or {}) do f[k] = v end
    return unreached_of("tone", text, f)
  end

  it("are clamps that have no branch", function()
    expect.same(of "int v = x[i]; v = v > 500 ? 500 : v; y[i] = (float)v;", { "8 `v > 500` never true" })
    expect.same(of "int v = x[i]; y[i] = (float)CAP(v);", { "8 `(v) < 700` never false" })
    expect.same(of "y[i] = (float)kept(x[i]);", { "4 `v > 900` never true" })
  end)

  it("are values that are chosen by a function", function()
    expect.same(of "y[i] = fminf((float)x[i], 1000.0f);", { "8 `fminf((float)x[i],1000.0f)` always takes the same side" })
    expect.same(of "y[i] = fabsf((float)x[i]) + (float)abs(x[i]);", { "8 `fabsf((float)x[i])` always takes the same side",
      "8 `abs(x[i])` always takes the same side" })
    expect.same(of "y[i] = fmaxf((float)x[i], 200.0f);", {})
  end)

  it("are comparisons whose value is used", function()
    expect.same(of "y[i] = (float)(x[i] - (x[i] > 600) * (x[i] - 600));", { "8 `x[i] > 600` never true" })
    expect.same(of "int is = x[i] >= 0 && x[i] < 300; y[i] = (float)(is ? x[i] : 0);", { "8 `x[i] >= 0` never false" })
    expect.same(of "y[i] = (float)x[i]; if (isnan(y[i]))\ny[i] = 0;", { "9 never reached" })
  end)

  it("are none where both ways are taken, or nothing is compared", function()
    expect.same(of "int v = x[i]; v = v > 300 ? 300 : v; y[i] = (float)(v << 2 >= 40 ? v : v / 2);", {})
    expect.same(of "y[i] = sizeof(int) == 4 ? (float)x[i] : 0.0f;", {})
    expect.same(of "static const int limit[2] = {1 > 0, 2}; y[i] = (float)(x[i] * limit[0]);", {})
  end)

  it("are found in C of 1989, whatever macros the file has", function()
    local text = "#define N 3\n#define set(x) x\n#define size 4\nvoid cut(const int *x, int *y, int n)\n{\n    int i;\n    for (i = 0; i < n; i++)\n        y[i] = x[i] < 5 ? 5 : x[i];\n}\n"
    expect.same(unreached_of("cut", text, { cflags = "-std=c89 -pedantic-errors", shape = { "x=n", "y=n" }, size = { "n=99" },
      range = { "x=10:90" } }), { "8 `x[i] < 5` never true" })
  end)
end)

-- ── what is drawn where nobody said ──────────────────────────────────────────────────────────────────────────────────

local function array_of(document, name)
  for _, a in ipairs(document.arrays) do
    if a.name == name then return a end
  end
end

describe("ranges left unsaid", function()
  local n = { shape = { "x=n", "y=n" }, size = { "n=300" } }

  it("are of the whole type where the function stands it", function()
    local _, document, seen = read("mask", "void mask(const long *x, long *y, int n)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = x[i] & 255;\n}\n", n)
    expect.equal(array_of(document, "x").range, nil)
    expect.equal(seen.narrowed, nil)
    local bytes = read("mask", "void mask(const unsigned char *x, int *y, int n)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = x[i];\n}\n", n)
    expect.equal(bytes.name, "mask")
  end)

  it("are as wide as a sum does not overflow", function()
    local _, document, seen = read("sum", "int sum(const int *x, int n)\n{\n    int s = 0;\n    for (int i = 0; i < n; i++)\n"
      .. "        s += x[i];\n    return s;\n}\n", { shape = { "x=n" }, size = { "n=300" } })
    local range = array_of(document, "x").range
    expect.truthy(range[2] >= (1 << 18) and range[2] < (1 << 24), "to " .. range[2])
    expect.equal(range[1], -range[2] - 1)
    expect.contains(table.concat(tested_on.lines(document, seen.fixed, seen.narrowed), "\n"), "is not defined")
  end)

  it("are found where the function stands no size of 0, and what it does is seen", function()
    local _, document, seen = read("mean", "void mean(const int *x, int *y, int n)\n{\n    int s = 0;\n"
      .. "    for (int i = 0; i < n; i++)\n        s += x[i];\n    for (int i = 0; i < n; i++)\n        y[i] = s / n;\n"
      .. "    y[0] = s / n;\n}\n", n)
    expect.truthy(array_of(document, "x").range[2] < (1 << 24))
    expect.equal(array_of(document, "y").role, "out")
    expect.same(seen.unreached, {})
  end)

  it("shift by what the type holds", function()
    local _, document = read("down", "void down(const unsigned *x, const unsigned char *by, unsigned *y, int n)\n{\n"
      .. "    for (int i = 0; i < n; i++)\n        y[i] = x[i] >> by[i];\n}\n", { shape = { "x=n", "by=n", "y=n" }, size = { "n=300" } })
    expect.truthy(array_of(document, "by").range[2] < 32)
  end)

  it("are floats of any size, or from -1 to 1 where those have no integer", function()
    local _, open = read("twice", "void twice(const float *x, float *y, int n)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = 2 * x[i];\n}\n", n)
    expect.equal(array_of(open, "x").range, nil)
    local _, narrow = read("level", "void level(const float *x, signed char *y, int n)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = (signed char)(x[i] * 100);\n}\n", n)
    expect.same(array_of(narrow, "x").range, { -1.0, 1.0 })
  end)

  it("are around the value that was given, and a size is 0 and more than timed", function()
    local _, document, seen = read("mix", "#include <stdbool.h>\nvoid mix(const float *x, float *y, int n, float a, int k, bool b)\n"
      .. "{\n    for (int i = 0; i < n; i++)\n        y[i] = x[i] * a + (b ? k : 0);\n}\n",
      { shape = n.shape, size = n.size, value = { "a=3", "k=2", "b=true" } })
    expect.same(array_of(document, "a_drawn").range, { 1.5, 6.0 })
    expect.equal(array_of(document, "a_drawn").value, 3.0)
    expect.same(array_of(document, "b_drawn").range, { 0, 1 })
    expect.same(document.range.n, { 0, 450 })
    expect.same(seen.fixed, { k = 2 })
    expect.same(tested_on.lines(document, seen.fixed, seen.narrowed), {
      "values: x of any size, mostly from -1 to 1",
      "sizes: n from 0 to 450, timed at 300",
      "single numbers: a from 1.5 to 6; b from 0 to 1; k = 2 and no other value" })
    local _, drawn = read("mix", "void mix(const float *x, float *y, int n, int k)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = x[i] + k;\n}\n", { shape = n.shape, size = n.size, range = { "k=-3:8" } })
    expect.same(array_of(drawn, "k_drawn").range, { -3, 8 })
  end)

  it("that do not matter for the result still matter when they are no numbers", function()
    local _, document = read("add", "void add(const double *x, double *y, int n, double beta)\n{\n    for (int i = 0; i < n; i++)\n"
      .. "        y[i] = x[i] + beta * y[i];\n}\n", { shape = n.shape, size = n.size, value = { "beta=0" } })
    expect.equal(array_of(document, "y").role, "state")
  end)
end)

describe("options that say what a text means", function()
  it("reach the search, others do not", function()
    expect.same(user_task.flags({ "-O3" }, { "-O2", "-DX=1", "-funsigned-char", "-fwrapv", "-Wall", "-Iinclude", "-std=c99" }),
      { "-O3", "-DX=1", "-funsigned-char", "-fwrapv", "-std=c99" })
  end)

  it("a text with CR keeps them", function()
    local source = user_task.source { head = "a \\\r\nb" }
    expect.equal(load(source)().head, "a \\\r\nb")
  end)
end)
