-- SPDX-License-Identifier: Apache-2.0
--
-- How wide the numbers of a task may be drawn where nobody said. Every value of an integer's type and any float, if the
-- user's function stands it: what is tested on few values only is right on few values only. Many functions do not stand
-- it. A sum of ints overflows, a float beyond 255 has no unsigned char, a loop up to x takes forever; then C says nothing
-- about the result, and no kernel can be held to it. So the function is compiled with the compiler's own checks, which
-- end the program at the first such operation, and run on the inputs that a test would draw: whole types first, then
-- floats from -1 to 1, then integers of as many bits as it stands, less two where they are many; and single numbers
-- around the value that was given, else at that value only.
local c_compiler = require "vegttt.c_compiler"
local core = require "vegttt.core"
local coverage = require "vegttt.coverage"
local verb = require "vegttt.verb_common"

local defined_ranges = {}

local checks = "-O1 -w -fno-sanitize-recover=all -fsanitize-undefined-trap-on-error "
  .. "-fsanitize=signed-integer-overflow,shift-exponent,integer-divide-by-zero,float-cast-overflow,bounds,unreachable"
local least_bits, most_bits = 2, 54 -- a document's integers end at 2^53
local spare_bits, spared_from = 2, 12 -- sums of inputs that were not drawn here may be larger
local unit_floats = "-1:1"
local max_seconds = 3 -- of a processor, so that a busy machine draws no narrower

-- Kinds of inputs that are drawn as wide as it goes.
local function open_kinds(document)
  local has = {}
  for _, a in ipairs(document.arrays) do
    if a.name:find "_drawn$" then has.drawn = true end
    if a.role ~= "out" and not a.range and not a.max then has[a.dtype:sub(1, 1) == "f" and "floats" or "integers"] = true end
  end
  return has
end

-- The program for the inputs that these limits draw: a function that says whether it ends well, or nil.
local function build(folder, fn, text, document, make, fixed)
  core.write(folder:path "checked.c", coverage.program(text, document))
  local words = {}
  for _, w in ipairs(fn.cflags) do
    if w ~= "-pedantic-errors" then words[#words + 1] = verb.quote(w) end
  end
  local _, is_built = folder:run(("%s %s %s -o checked checked.c -lm"):format(c_compiler.command(), table.concat(words, " "),
    checks))
  if not is_built then return nil end
  return function(floats, bits)
    local _, task = make { floats = floats or nil, bits = bits, is_fixed = fixed or nil }
    core.task_inputs(task.handle, folder:path "inputs")
    local _, is_well = folder:run(("ulimit -t %d && timeout 60 ./checked inputs"):format(max_seconds))
    return is_well
  end
end

-- The most bits of integers, of those from `least_bits` on, with which it stands.
local function most_of(stands, floats)
  local lo, hi = least_bits, most_bits
  while hi - lo > 1 do
    local mid = (lo + hi) // 2
    if stands(floats, mid) then lo = mid else hi = mid end
  end
  return lo > spared_from and lo - spare_bits or lo
end

local function widest(stands, open)
  if stands(false) then return {} end
  for _, floats in ipairs(open.floats and { false, unit_floats } or { false }) do
    if floats and stands(floats) then return { floats = floats } end
    if open.integers and stands(floats, least_bits) then
      return { floats = floats or nil, bits = most_of(stands, floats) }
    end
  end
end

---limits for user_task.document, and why they are narrow or nil. make(limits) -> document, task.
function defined_ranges.find(fn, text, make)
  local folder, limits = c_compiler.folder(), nil
  local ok, problem = pcall(function()
    for _, is_fixed in ipairs { false, true } do
      local document = make { is_fixed = is_fixed or nil }
      local open = open_kinds(document)
      if is_fixed or open.floats or open.integers or open.drawn then
        local stands = build(folder, fn, text, document, make, is_fixed)
        limits = stands and widest(stands, open)
        if limits then limits.is_fixed = is_fixed or nil end
      end
      if limits or not open.drawn then return end
    end
  end)
  folder:close()
  if not ok then error(problem, 0) end
  limits = limits or {}
  return limits, (limits.floats or limits.bits) and "it is not defined, or takes long, beyond" or nil
end

return defined_ranges
