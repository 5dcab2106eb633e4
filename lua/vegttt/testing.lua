-- SPDX-License-Identifier: Apache-2.0
--
-- Tests in Lua, run inside the engine: `vegttt test FOLDER|FILE… [--only TEXT]`. A test file gets describe, it and the
-- expect functions as globals; its chunk declares tests, which run in order, each in a light task. The closing line is
-- `N passed, N failed`; the result is the exit code. In a folder the files named *_test.lua are tests.
local core = require "vegttt.core"

local testing = {}

local cases, prefix = {}, ""

local function describe(name, fn)
  local outer = prefix
  prefix = prefix .. name .. ": "
  fn()
  prefix = outer
end

local function it(name, fn) cases[#cases + 1] = { name = prefix .. name, fn = fn } end

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

---Arguments: folders, files, --only TEXT. Returns the exit code.
function testing.main(argv)
  local paths, only = {}, nil
  local i = 1
  while i <= #argv do
    if argv[i] == "--only" then
      only = argv[i + 1]
      i = i + 1
    else
      paths[#paths + 1] = argv[i]
    end
    i = i + 1
  end
  if #paths == 0 then
    core.err "vegttt: test needs a folder or a file, e.g. `vegttt test tests/lua`\n"
    return 2
  end
  local environment = setmetatable({ describe = describe, it = it, expect = expect }, { __index = _G })
  local passed, failed = 0, 0
  for _, path in ipairs(paths) do
    if not core.exists(path) then
      core.err(("vegttt: there is no test file or folder %s\n"):format(path))
      return 2
    end
    for _, file in ipairs(files_of(path)) do
      local chunk, message = loadfile(file, "t", environment)
      local ok = chunk ~= nil
      if chunk then ok, message = xpcall(chunk, debug.traceback) end
      if not ok then
        core.out(("FAIL %s\n  %s\n"):format(file, message))
        failed = failed + 1
      end
    end
  end
  for _, case in ipairs(cases) do
    if not only or case.name:find(only, 1, true) then
      if run_case(case) then passed = passed + 1 else failed = failed + 1 end
    end
  end
  core.out(("%d passed, %d failed\n"):format(passed, failed))
  return failed > 0 and 1 or 0
end

return testing
