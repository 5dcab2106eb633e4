-- SPDX-License-Identifier: Apache-2.0
--
-- How two recorded runs differ in what went into them, whether or not the one was the other's successor: parameters by
-- name, and in words what was read, the script among it, and the engine that read it. For `vegttt show` and `compare`.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local inputs = require "vegttt.inputs"
local run_files = require "vegttt.run_files"

local run_diff = {}

local function value_of(entry)
  if entry and entry.value ~= core.null then return entry.value end
end

local function is_same(x, y) return core.json_encode { x } == core.json_encode { y } end

---{ { name, a, b }, … } of the parameters whose values differ (nil = none, or left to the model), and how many agree.
function run_diff.params(a, b)
  local of_a, of_b, names, out, n_equal = run_files.params(a), run_files.params(b), {}, {}, 0
  for _, p in ipairs { of_a, of_b } do
    for name in pairs(p) do names[name] = true end
  end
  for _, name in ipairs(errors.keys(names)) do
    local x, y = value_of(of_a[name]), value_of(of_b[name])
    if is_same(x, y) then n_equal = n_equal + 1 else out[#out + 1] = { name = name, a = x, b = y } end
  end
  return out, n_equal
end

-- place -> digests of all that a run read, before it began and within.
local function read_by(dir)
  local out = {}
  for _, set in ipairs { inputs.recorded(dir) } do
    for _, x in ipairs(set.list) do
      local place = inputs.place(x)
      out[place] = out[place] or { x = x, digests = {} }
      out[place].digests[x.digest] = true
    end
  end
  return out
end

local function have_common(a, b)
  for digest in pairs(a) do
    if b[digest] then return true end
  end
  return false
end

---What the engine was that a run recorded, or nil where it is older than such records.
function run_diff.engine(about)
  return type(about) == "table" and type(about.engine) == "table" and about.engine or nil
end

local function short(engine)
  return ("%s, commit %s, sources %s"):format(tostring(engine.version), tostring(engine.commit),
    tostring(engine.digest):sub(1, 12))
end

---Whether two builds of the engine are told apart, in words; nil where they are not, or where one is unknown.
function run_diff.engines(a, b)
  if not a or not b or a.digest == b.digest then return nil end
  return ("the engine was built from other sources (%s; now %s)"):format(short(a), short(b))
end

---This process's engine, as runs record it.
function run_diff.engine_now() return { version = core.version, commit = core.commit, digest = core.engine_digest } end

---What was read by the one and not, or otherwise, by the other, in words: b as seen from a.
function run_diff.inputs(a, b)
  local of_a, of_b, out = read_by(a), read_by(b), {}
  for _, place in ipairs(errors.keys(of_b)) do
    local x, was = of_b[place].x, of_a[place]
    if not was then
      out[#out + 1] = inputs.text(x) .. " is new"
    elseif not have_common(was.digests, of_b[place].digests) then
      out[#out + 1] = inputs.text(x) .. " changed"
    end
  end
  for _, place in ipairs(errors.keys(of_a)) do
    if not of_b[place] then out[#out + 1] = inputs.text(of_a[place].x) .. " is no longer read" end
  end
  return out
end

return run_diff
