-- SPDX-License-Identifier: Apache-2.0
--
-- How tests run experiments: a fresh copy of the Lua half over a stage (support_stage.lua), a small language model
-- (vegttt.speaker) and two small tasks (support_tasks.lua). Everything else is what a user runs.
local core = require "vegttt.core"
local stage = require "support_stage"
local staged = require "vegttt.staged"
local speaker = require "vegttt.speaker"
local small = require "support_tasks"

local support = { stage = stage, covered = {} }

local folders = setmetatable({}, { __gc = function(t)
  for _, dir in ipairs(t) do core.remove(dir) end
end })

---A new empty folder, removed at the latest when the process ends.
function support.folder()
  local dir = os.tmpname()
  os.remove(dir)
  core.mkdir(dir)
  folders[#folders + 1] = dir
  return dir
end

---fn(root) with a new folder that is gone afterwards; its errors are the caller's.
function support.in_folder(fn)
  local root = support.folder()
  local ok, e = xpcall(fn, function(e) return debug.traceback(tostring(e), 2) end, root)
  core.remove(root)
  if not ok then error(e, 0) end
end

local models = {}

---The folder of the language model that answers the small tasks. reads: of one to which a longer prompt matters.
function support.model(reads)
  local name = reads and "reader" or "speaker"
  if not models[name] then
    models[name] = support.folder() .. "/" .. name
    speaker.make(models[name], small.answers, reads)
  end
  return models[name]
end

---Task files of the two small tasks: { same = path, negated = path }.
function support.task_files(root)
  core.mkdir(root)
  local source = require("vegttt.user_task").source
  local files = {}
  for name, t in pairs { same = small.same, negated = small.negated } do
    files[name] = ("%s/%s.lua"):format(root, name)
    core.write(files[name], source(t))
  end
  return files
end

-- ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function counting(name, fn)
  return function(...)
    support.covered[name] = true
    return fn(...)
  end
end

local function count_all(t, prefix)
  for k, v in pairs(t) do
    if type(v) == "function" then t[k] = counting(prefix .. k, v) end
  end
end

count_all(getmetatable(core.vector(1, 0)).methods, "vt.Vector:")

-- Notes what is called of the surface in this copy of the Lua half.
local function count_calls(vt)
  count_all(vt, "vt.")
  for _, group in ipairs { "eval", "reward", "advantage", "select", "stats", "json" } do
    count_all(vt[group], ("vt.%s."):format(group))
  end
  for _, class in ipairs(require("vegttt.closed").classes) do count_all(class.methods, class.__name .. ":") end
end

-- ── running experiments ──────────────────────────────────────────────────────────────────────────────────────────────

---A fresh copy of the Lua half over a core: { vegttt = the surface, errors = …, … }
function support.modules(over)
  return staged.modules(over, over.is_real and function(parts) count_calls(parts.vegttt) end)
end

---Runs the experiment that make(vt, modules) returns. o: { root, core or the options of stage.real, name, limits,
---replicate }. -> { status, value, tables = { name = csv }, run, counts, meter, modules, core }
function support.execute(make, given, o)
  local over = o.core or stage.real(o)
  local out = staged.execute(over, make, given, { root = o.root, name = o.name, limits = o.limits, replicate = o.replicate, fresh = o.fresh,
    flags = o.flags, model = support.model(), made = over.is_real and function(parts) count_calls(parts.vegttt) end })
  out.core, out.counts = over, over.counts
  return out
end

---An experiment that must end well.
function support.run(make, given, o)
  local r = support.execute(make, given, o)
  if r.status ~= "done" then
    error(("%s: %s\n%s"):format(r.status, tostring(r.value), type(r.value) == "table" and r.value.traceback or ""), 2)
  end
  return r
end

---An experiment file of the project.
function support.file(path)
  return function(_, m) return m.experiment.load(path) end
end

---main(run, p, vt, modules) as an experiment with the parameters that scripts share.
function support.main(main, more)
  return function(vt, m)
    local e = { name = "test", doc = "a test", params = vt.params {},
      main = function(run, p) return main(run, p, vt, m) end }
    for k, v in pairs(more or {}) do e[k] = v end
    return vt.experiment(e)
  end
end

---main(run, p, vt, modules) in a run of its own over the real core.
function support.inside(main, given, o)
  support.in_folder(function(root)
    o = o or {}
    o.root = root
    support.run(support.main(main, o.experiment), given, o)
  end)
end

---The lines of a file of a run.
function support.lines(r, name)
  local out = {}
  core.read_lines(r.run.dir .. "/" .. name, function(line) out[#out + 1] = line end)
  return out
end

return support
