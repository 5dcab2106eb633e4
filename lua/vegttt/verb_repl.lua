-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt repl [FILE.lua]`: Lua, a line at a time, inside a run: every function of a script works, calls that wait too, and
-- what was drawn and judged is recorded in runs/repl/ as by any script. Ctrl-C gives up the line, or what it waits for.
--
-- A name that a line makes is there in the next one, `local` or not, since a local would end with its line.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local main = require "vegttt.main"
local params = require "vegttt.params"
local reference = require "vegttt.reference"
local sched = require "vegttt.sched"
local text = require "vegttt.text"
local typed = require "vegttt.typed"

local repl = {}

local most_shown = 12

local about = [[
a line of Lua, or of several while something is open; `run`, `p` and `vt` are those of a script's main
:help NAME      what a function or a class is (vt.draw, run:plot, stats)
:reload         the file again, and the modules that lines required
:quit           or Ctrl-D
Tab completes. A line may wait (vt.draw, weights:score, vt.eval.all); Ctrl-C gives it up. Names stay, `local` or not.
]]

-- ── showing values ───────────────────────────────────────────────────────────────────────────────────────────────────

local function show(v, depth)
  if type(v) == "string" then return depth > 0 and ("%q"):format(v) or v end
  if math.type(v) == "float" then return text.number(v, 6) end
  local mt = type(v) == "table" and getmetatable(v)
  if type(v) ~= "table" or mt and mt.__tostring then return tostring(v) end
  local parts, n = {}, 0
  for i, x in ipairs(v) do
    n = i
    if i <= most_shown then parts[#parts + 1] = depth < 2 and show(x, depth + 1) or "…" end
  end
  if n > most_shown then parts[#parts + 1] = ("… %d in all"):format(n) end
  for _, k in ipairs(errors.keys(v)) do
    local x = rawget(v, k)
    local is_inner = math.type(k) == "integer" and k >= 1 and k <= n
    if not is_inner and #parts < 2 * most_shown then
      parts[#parts + 1] = ("%s = %s"):format(tostring(k), depth < 2 and type(x) ~= "function" and show(x, depth + 1) or type(x))
    end
  end
  return (mt and mt.__name and mt.__name .. " " or "") .. "{ " .. table.concat(parts, ", ") .. " }"
end

local function say(...)
  local values = table.pack(...)
  for i = 1, values.n do
    local ok, shown = pcall(show, values[i], 0)
    core.out((ok and shown or tostring(values[i])) .. "\n")
  end
end

-- ── completion ───────────────────────────────────────────────────────────────────────────────────────────────────────

local function names_of(v, only_methods)
  local out = {}
  local mt = getmetatable(v)
  local class = type(mt) == "table" and mt or {}
  for _, set in ipairs { not only_methods and type(v) == "table" and v or {}, class.methods or {}, not only_methods and class.fields or {},
    type(v) == "string" and string or {} } do
    for k in next, set do
      if type(k) == "string" and k:find "^[%a_][%w_]*$" then out[k] = true end
    end
  end
  return errors.keys(out)
end

local function member(v, name)
  if type(v) ~= "table" then return nil end
  local x = rawget(v, name)
  local mt = getmetatable(v)
  if x == nil and type(mt) == "table" and type(mt.methods) == "table" then x = mt.methods[name] end
  return x
end

-- Of the word that ends at the cursor: where its last name begins, and what it could be.
local function completions_of(env)
  return function(before)
    local command = before:match "^:%a*$"
    if command then
      local out = {}
      for _, c in ipairs { ":help ", ":quit", ":reload" } do
        if c:sub(1, #command) == command then out[#out + 1] = c end
      end
      return 1, out
    end
    local path = before:match "[%a_][%w_.:]*$" or ""
    local last = path:match "[%w_]*$"
    local v, out = env, {}
    for name in path:sub(1, #path - #last):gmatch "[%w_]+" do
      v = v == env and (rawget(env, name) or core.globals[name]) or member(v, name)
      if v == nil then return #before + 1, {} end
    end
    local names = names_of(v, path:find ":[%w_]*$" ~= nil)
    if v == env then table.move(names_of(core.globals), 1, 1000, #names + 1, names) end
    for _, name in ipairs(names) do
      if name:sub(1, #last) == last and (last ~= "" or v ~= env) then out[#out + 1] = name end
    end
    return #before - #last + 1, out
  end
end

-- ── carrying out ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- A chunk as an expression, else as statements; nil and true where more is to come.
local function compile(line, env)
  local chunk = load("return " .. line, "=typed", "t", env)
  if chunk then return chunk end
  local message
  chunk, message = load((line:gsub("^%s*local%s+([%a_][%w_]*%s*[=,])", "%1"):gsub("^%s*local%s+function%f[%W]", "function")), "=typed", "t", env)
  if chunk then return chunk end
  if message:find "<eof>$" or message:find "near <eof>" then return nil, true end
  return nil, false, message
end

local function new_environment(run, p)
  return setmetatable({ vt = require "vegttt", run = run, p = p, print = core.globals.print }, { __index = core.globals })
end

-- What stood in package.loaded before any line did: everything else is loaded anew by :reload.
local function reloader(env, file)
  local before = {}
  for name in pairs(package.loaded) do before[name] = true end
  return function()
    for name in pairs(package.loaded) do
      if not before[name] and not name:find "^vegttt" then package.loaded[name] = nil end
    end
    if not file then return end
    local chunk, message = loadfile(file, "t", env)
    if not chunk then errors.usage("%s", message) end
    env.file = chunk()
    if env.file ~= nil then core.out(("file = %s\n"):format(show(env.file, 0))) end
  end
end

local waits_for -- the handle of the line that runs

-- fn() as a task of its own, which Ctrl-C ends; what it returns is shown.
local function carry_out(fn)
  waits_for = sched.spawn(function() return table.pack(fn()) end)
  local ok, out = pcall(waits_for.join, waits_for)
  waits_for = nil
  if ok then return say(table.unpack(out, 1, out.n)) end
  core.forget_interrupts()
  if errors.is(out) and out.kind == "cancelled" then return core.err "given up; what was recorded is kept\n" end
  core.err(("%s\n"):format(errors.sentence(out)))
end

local function command(line, reload)
  local word, rest = line:match "^:(%a*)%s*(.-)%s*$"
  if word == "help" and rest == "" then return core.out(about) end
  if word == "help" then return carry_out(function() core.out(reference.page(rest)) end) end
  if word == "reload" then return carry_out(reload) end
  core.err((":%s is none of :help, :reload, :quit\n"):format(word))
end

local function loop(env, reload)
  local history, line, more = {}, "", false
  local completions = completions_of(env)
  while true do
    local typed_line = typed.line(more and "... " or "> ", history, completions)
    if typed_line == nil or line == "" and typed_line and typed_line:find "^:q" then return end
    line = typed_line and line .. (more and "\n" or "") .. typed_line or ""
    more = false
    if line:find "^%s*:" then
      command(line:match "^%s*(.*)$", reload)
    elseif line:find "%S" then
      local chunk, is_open, message = compile(line, env)
      more = is_open or false
      if chunk then carry_out(chunk) end
      if message then core.err(message .. "\n") end
    end
    if not more then line = "" end
  end
end

local function new_experiment(file)
  return experiment.new { name = "repl", doc = "Lua, a line at a time, inside a run", params = params.of_tasks {},
    main = function(run, p)
      local env = new_environment(run, p)
      local reload = reloader(env, file)
      if file then carry_out(reload) end
      if core.can_ask() then core.out(about) end
      loop(env, reload)
      return {}
    end }
end

function repl.main(argv)
  local file = argv[1] and argv[1]:find "%.lua$" and argv[1]
  return main.carry_out(function() return new_experiment(file) end, { "repl", file or nil }, table.move(argv, file and 2 or 1, #argv, 1, {}), {
    fresh = true, takes_interrupt = function()
      if not waits_for then return false end
      waits_for:cancel()
      return true
    end })
end

return repl
