-- SPDX-License-Identifier: Apache-2.0
--
-- Tests in Lua, run inside the engine: `vegttt test FOLDER|FILE… [--only TEXT]`. A test file sees the globals of a
-- script, and describe, it, at_end, the expect functions, fake and judge (fake.lua) besides; its chunk declares tests,
-- which run in order, those of at_end after all others of a whole folder. Modules are found beside it. The closing line is `N passed, N
-- failed`; the result is the exit code. In a folder the files named *_test.lua are tests.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local fake = require "vegttt.fake"
local globals = require "vegttt.globals"
local verb = require "vegttt.verb_common"

local test = {}

local cases, last, prefix = {}, {}, ""

local function describe(name, fn)
  local outer = prefix
  prefix = prefix .. name .. ": "
  fn()
  prefix = outer
end

local function it(name, fn) cases[#cases + 1] = { name = prefix .. name, fn = fn } end
local function at_end(name, fn) last[#last + 1] = { name = prefix .. name, fn = fn } end

local function show(v) return type(v) == "string" and ("%q"):format(v) or tostring(v) end

local function fail(format, ...) error(format:format(...), 3) end

local expect = {}

function expect.equal(a, b, what)
  if a ~= b then fail("%s%s, expected %s", what and what .. ": " or "", show(a), show(b)) end
end

function expect.near(a, b, tolerance)
  if not (math.abs(a - b) <= (tolerance or 1e-9)) then
    fail("%.17g, expected %.17g within %g", a, b, tolerance or 1e-9)
  end
end

---Equal as JSON values.
function expect.same(a, b)
  local x, y = core.json_encode(a), core.json_encode(b)
  if x ~= y then fail("%s, expected %s", x, y) end
end

function expect.truthy(v, what)
  if not v then fail("%s is %s", what or "value", tostring(v)) end
end

---text contains the plain string part.
function expect.contains(text, part)
  if not tostring(text):find(part, 1, true) then fail("%s does not contain %s", show(tostring(text)), show(part)) end
end

---fn raises an error whose text contains part; returns the error.
function expect.raises(part, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then fail("no error, expected one with %s", show(part)) end
  if not tostring(e):find(part, 1, true) then fail("error %s, expected one with %s", show(tostring(e)), show(part)) end
  return e
end

local function files_of(path)
  if path:find "%.lua$" then return { path } end
  local out = {}
  for _, name in ipairs(core.list(path)) do
    if name:find "_test%.lua$" then out[#out + 1] = path .. "/" .. name end
  end
  return out
end

local function run_case(case)
  core.turn(0) -- each case has its own five seconds
  local ok, e = xpcall(case.fn, function(e) return { text = tostring(e), trace = debug.traceback("", 2) } end)
  if ok then return true end
  core.out(("FAIL %s\n  %s\n"):format(case.name, e.text))
  if os.getenv "VEGTTT_TRACE" then core.out(e.trace .. "\n") end
  return false
end

-- Loads the test files of a path: their chunks declare cases. Returns how many files could not be loaded.
local function load_files(path, environment)
  local n_broken = 0
  for _, file in ipairs(files_of(path)) do
    local chunk, message = loadfile(file, "t", environment)
    local ok = chunk ~= nil
    if chunk then ok, message = xpcall(chunk, debug.traceback) end
    if not ok then
      core.out(("FAIL %s\n  %s\n"):format(file, message))
      n_broken = n_broken + 1
    end
  end
  return n_broken
end

local function are_folders(paths)
  for _, path in ipairs(paths) do
    if not core.is_dir(path) then return false end
  end
  return true
end

local function run(o, paths)
  if #paths == 0 then errors.usage "test needs a folder or a file, e.g. `vegttt test tests/lua`" end
  for _, path in ipairs(paths) do
    if not core.exists(path) then errors.usage("there is no test file or folder %s", path) end
  end
  globals.install()
  for _, path in ipairs(paths) do
    local folder = path:find "%.lua$" and (path:match "^(.*)/[^/]*$" or ".") or path
    package.path = ("%s/?.lua;"):format(folder) .. package.path
  end
  local environment = setmetatable({ describe = describe, it = it, expect = expect, at_end = at_end,
    fake = { run = fake.run, pick = fake.pick }, judge = fake.judge },
    { __index = core.globals })
  local passed, failed = 0, 0
  for _, path in ipairs(paths) do failed = failed + load_files(path, environment) end
  if not o.only and are_folders(paths) then table.move(last, 1, #last, #cases + 1, cases) end
  for _, case in ipairs(cases) do
    if not o.only or case.name:find(o.only, 1, true) then
      if run_case(case) then passed = passed + 1 else failed = failed + 1 end
    end
  end
  core.out(("%d passed, %d failed\n"):format(passed, failed))
  return failed > 0 and 1 or 0
end

function test.main(argv)
  return verb.main(argv, { help = [[
vegttt test FOLDER|FILE…   run Lua tests inside the engine; a folder's are *_test.lua
  A test file calls it("name", function() … end), perhaps inside describe("what", function() … end), and checks with
  expect.equal, near, same, truthy, contains, raises. `vegttt help tests` says what else it finds, and `vegttt new` writes
  one to start from]],
    options = { { "only", "TEXT", "the tests whose name contains TEXT" } }, run = run })
end

return test
