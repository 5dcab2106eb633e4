-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt baseline`: measures what PyTorch eager takes on this machine's GPU, once per class of GPU, and keeps it: from
-- then on verdicts of the cuda tier say what a kernel gains over eager, too (baselines.lua).
local baselines = require "vegttt.baselines"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local list = require "vegttt.list"
local tasks = require "vegttt.tasks"
local verb = require "vegttt.verb_common"

local baseline = {}

local help = [[
vegttt baseline   what PyTorch eager takes for tasks on this machine's GPU; verdicts of --tier cuda then say it, too

The Python is VEGTTT_PYTHON's, else python3; it needs torch. A table for an NVIDIA H200 comes with vegttt.]]

local options = {
  { "task", "IDS", "of these tasks only" },
  { "scale", "NAMES", "at these sizes (default: search,full)" },
  { "out", "FILE", "write there (default: beside the cache, where verdicts look)" },
}

-- The script and the tasks in a folder of their own; the command that runs one on the other.
local function prepare(chosen, scales)
  local pipe = core.popen('mktemp -d "${TMPDIR:-/tmp}/vegttt-baseline-XXXXXX"', "r")
  local dir = pipe:read "l"
  pipe:close()
  if not dir then errors.raise("infrastructure", "baseline", "cannot make a temporary folder") end
  local function write(name, text)
    local file = assert(io.open(dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  local lines = {}
  for i, task in ipairs(chosen) do lines[i] = task.json end
  write("eager.py", require "vegttt.eager")
  write("tasks.jsonl", table.concat(lines, "\n") .. "\n")
  local quoted = verb.quote(dir)
  return dir, ("%s %s/eager.py %s < %s/tasks.jsonl 2>%s/errors"):format(verb.quote(os.getenv "VEGTTT_PYTHON" or "python3"),
    quoted, table.concat(scales, " "), quoted, quoted)
end

local function show(row)
  verb.say("%4d  %-26s %-7s %s", row.task, row.name, row.scale, row.us and ("%.2f us"):format(row.us) or row.error)
end

local function measure(chosen, scales)
  local dir, command = prepare(chosen, scales)
  local rows, pipe = {}, core.popen(command, "r")
  for line in pipe:lines() do
    rows[#rows + 1] = core.json_decode(line, "a line of eager's table")
    show(rows[#rows])
  end
  pipe:close()
  local said = core.read(dir .. "/errors"):match "([^\n]+)%s*$"
  core.remove(dir)
  if #rows == 0 then errors.raise("infrastructure", "baseline", ("PyTorch was not measured: %s"):format(said or "no row")) end
  return rows
end

local function keep(rows, out)
  local path = out or baselines.path(rows[1].machine)
    or errors.raise("infrastructure", "baseline", "there is no cache to keep it in; name a file with --out")
  core.mkdir(path:match "^(.*)/[^/]*$" or ".")
  local file, message = io.open(path, "a")
  if not file then errors.raise("infrastructure", "baseline", message) end
  for _, row in ipairs(rows) do file:write(core.json_encode(row), "\n") end
  file:close()
  verb.say("%d rows of %s, torch %s, kept in %s", #rows, rows[1].machine, rows[1].torch, path)
end

local function run(f)
  local scales = {}
  for name in (f.scale or "search,full"):gmatch "[^,%s]+" do
    scales[#scales + 1] = name:match "^%w+$" or errors.usage("'%s' is no scale", name)
  end
  local chosen = tasks.get { ids = f.task and list.integers { f.task } or nil }
  keep(measure(chosen, scales), f.out)
  return 0
end

function baseline.main(argv)
  return verb.main(argv, { help = help, options = options, run = run, max_words = 0 })
end

return baseline
