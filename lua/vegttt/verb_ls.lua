-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt ls`: the runs recorded below runs/, oldest first, a line each: status, name, size, the parameters that the runs
-- of the experiment do not share, and the result. Cells of a sweep stand below it.
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local list = require "vegttt.list"
local run_files = require "vegttt.run_files"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local ls = {}

-- name -> value text of a run's parameters.
local function params_of(dir)
  local out = {}
  for name, entry in pairs(run_files.params(dir)) do
    if entry.value ~= core.null then out[name] = args.show(entry.value) end
  end
  return out
end

-- experiment -> names of parameters that have more than one value among its runs.
local function differing(runs)
  local seen, out = {}, {}
  for _, r in ipairs(runs) do
    local first = seen[r.experiment] or r.params
    seen[r.experiment], out[r.experiment] = first, out[r.experiment] or {}
    for _, p in ipairs { first, r.params } do
      for name in pairs(p) do
        if first[name] ~= r.params[name] then out[r.experiment][name] = true end
      end
    end
  end
  return out
end

local function line_of(r, names)
  local parts = {}
  for _, name in ipairs(errors.keys(names)) do
    if r.params[name] then parts[#parts + 1] = ("%s=%s"):format(name, r.params[name]) end
  end
  local status = run_files.status(r.dir)
  parts[#parts + 1] = status == "finished" and run_files.headline(run_files.summary(r.dir))
    or run_files.so_far(r.dir)
  return ("%-10s %-14s %-26s %10s  %s"):format(status, r.experiment, (r.parent and "  " or "") .. r.stamp,
    text.bytes(core.tree_size(r.dir)), table.concat(parts, "  "))
end

local function run(_, rest)
  if rest[2] then errors.usage "ls takes at most one experiment" end
  local runs = list.filter(run_files.all(), function(r) return not rest[1] or rest[1] == r.experiment end)
  for _, r in ipairs(runs) do r.params = params_of(r.dir) end
  local names = differing(runs)
  for _, r in ipairs(runs) do
    local ok, line = pcall(line_of, r, names[r.experiment])
    if not ok and errors.is(line) and line.kind == "cancelled" then error(line, 0) end
    verb.say("%s", ok and line or ("%-10s %-14s %-26s %10s  %s"):format("damaged", r.experiment, r.stamp, "",
      (tostring(line):gsub("%s*\n%s*", " "))))
  end
  if #runs == 0 then
    verb.say("no runs%s below runs/ yet; `vegttt experiments/boa.lua` makes one", rest[1] and " of " .. rest[1] or "")
  end
  return 0
end

function ls.main(argv)
  return verb.main(argv, { run = run,
    help = "vegttt ls [EXPERIMENT]   the runs below runs/: status, experiment, stamp, size, what differs, result" })
end

return ls
