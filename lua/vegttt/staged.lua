-- SPDX-License-Identifier: Apache-2.0
--
-- An experiment inside a test: a fresh copy of the Lua half over another core, which is the engine's with some functions
-- replaced (a clock that passes only where somebody waits, an evaluator that is told what to say). Everything else is what
-- a user runs: the run folder, the records, the scheduler, the model.
local staged = {}

local part_names = { "attempt", "errors", "experiment", "globals", "params", "policy", "run", "sched", "session" }

-- Puts other modules of the Lua half into package.loaded; returns those that were there.
local function swap(modules)
  local kept = {}
  for name, m in pairs(package.loaded) do
    if name:find "^vegttt" then
      kept[name] = m
      package.loaded[name] = nil
    end
  end
  for name, m in pairs(modules) do package.loaded[name] = m end
  return kept
end

---The core with nothing said to anybody: what it would have printed is in .lines.
function staged.quiet(core)
  core.tty = false
  core.lines = {}
  function core.progress() end
  function core.out(text) core.lines[#core.lines + 1] = text end
  core.err = core.out
  return core
end

---A fresh copy of the Lua half over a core: { vegttt = the surface, errors = …, … }; made(parts) is called in it.
function staged.modules(over, made)
  local kept = swap { ["vegttt.core"] = over }
  local parts = { vegttt = require "vegttt" }
  for _, name in ipairs(part_names) do parts[name] = require("vegttt." .. name) end
  if made then made(parts) end
  parts.all = swap(kept)
  return parts
end

-- fn() with the parts in package.loaded, as a script that requires them finds them.
local function among(core, parts, fn)
  local function use(errors, globals)
    core.set_error_metatable(getmetatable(errors.new {}))
    globals.install()
  end
  local kept = swap(parts.all)
  use(parts.errors, parts.globals)
  local results = table.pack(pcall(fn))
  swap(kept)
  use(require "vegttt.errors", require "vegttt.globals")
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- What a run that was finished before says again.
local function stored(core, m, r)
  local summary, tables = r:stored_summary(), {}
  for _, name in ipairs(summary.tables) do tables[name] = core.read(("%s/tables/%s.csv"):format(r.dir, name)) end
  r:close()
  return { status = "done", value = summary.result, tables = tables, run = r, modules = m, meter = summary.meter, is_stored = true }
end

local function execute(core, m, make, given, o)
  local e = make(m.vegttt, m)
  given = given or {}
  local is_read = e.params.model and not (e.params.model.without and given[e.params.model.without])
  if is_read and given.model == nil then given.model = o.model end
  m.session.flags = o.flags or {}
  local values, origins = m.params.resolve(e.params, given, "flag")
  local r = m.attempt.open(e, values, origins, { root = o.root, name = o.name, limits = o.limits,
    replicate = o.replicate, fresh = o.fresh })
  if r.is_finished then return stored(core, m, r) end
  r:begin()
  local ok, status, value = pcall(m.sched.run, m.attempt.main_of(r), r, {})
  local out = { status = ok and status or "killed", value = ok and value or status, tables = {}, run = r, modules = m }
  for name, t in pairs(r.tables) do out.tables[name] = t:csv() end
  if status == "done" and ok then r:finish(value) end
  out.meter = r.meter:copy()
  r:close()
  return out
end

---Runs the experiment that make(vt, modules) returns over a core. o: { root, model = for those that are given none, name, limits,
---replicate, fresh, flags, made }. -> { status, value, tables = { name = csv }, run, meter, modules }
function staged.execute(over, make, given, o)
  local core = require "vegttt.core"
  local m = staged.modules(over, o.made)
  local out = among(core, m, function() return execute(core, m, make, given, o) end)
  collectgarbage() -- models of runs that are over
  return out
end

return staged
