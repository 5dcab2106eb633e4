-- SPDX-License-Identifier: Apache-2.0
--
-- Two small tasks and answers to them. The baselines do the same thing `reps` times in a chain of multiplications and
-- additions that gives what it started from, exactly, and that no compiler may shorten; so the answer that does it once
-- is correct and many times faster on every machine.
local support = {}

local function task(id, name, sign)
  return {
    id = id, name = name, title = name, level = 1, family = "chain",
    sizes = { cpu = { n = 2048, reps = 96 }, hidden = { n = 77, reps = 5 } }, size_order = { "n", "reps" },
    arrays = {
      { name = "x", role = "in", dtype = "f32", shape = { "n" }, dist = { "uniform", "normal", "needle" } },
      { name = "y", role = "out", dtype = "f32", shape = { "n" } },
    },
    scalars = {}, rtol = 0, atol = 0, bytes = "4 * n", flops = "n",
    body = ([[
  for (int i = 0; i < n; i++) {
    float s = SIGNx[i];
    for (int r = 0; r < reps; r++)
      s = s * 0.5f + SIGNx[i] * 0.5f;
    y[i] = s;
  }]]):gsub("SIGN", sign),
  }
end

---id 10001 "same": y = x. id 10002 "negated": y = -x.
support.same, support.negated = task(10001, "same", ""), task(10002, "negated", "-")

local function answer(p, body, ending) return { pieces = { body, ending or "\n}\n" }, p = p } end

---For speaker.make. Of "same": one copy, two correct and faster, one correct and slower; of "negated": one correct.
support.answers = {
  answer(0.25, "  for (int i = 0; i < n; i++) y[i] = x[i];"),
  answer(0.1875, "  for (int i = 0; i < n; i++) y[i] = -x[i];"),
  answer(0.125, "  for (int i = 0; i < n; i++) {\n    float s = x[i];\n    for (int r = 0; r < reps / 8; r++)\n"
    .. "      s = s * 0.5f + x[i] * 0.5f;\n    y[i] = s;\n  }"),
  answer(0.125, support.same.body),
  answer(0.0625, "  for (int i = 0; i < n; i++) {\n    float s = x[i];\n    for (int r = 0; r < reps * 4; r++)\n"
    .. "      s = s * 0.5f + x[i] * 0.5f;\n    y[i] = s;\n  }"),
  answer(0.125, "  broken(;"),
  answer(0.0625, "  for (int i = 0; i < n; i++) y[i] = 0;"),
  answer(0.0625, "  never closed", " and never will be"),
}

---The literal of a task as a task file.
function support.file_text(t)
  local core = require "vegttt.core"
  return ("return require 'vegttt.core'.json_decode(%q, 'task')"):format(core.json_encode(t))
end

return support
