-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt ls`: the runs recorded below runs/, oldest first, a line each: status, name, size, the parameters that the runs
-- of the experiment do not share, and the result. Cells of a sweep stand below it. A thousand runs are listed at once, so
-- only small files are read whole; the lines of an unfinished run are counted, not parsed.
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local ls = {}

-- name -> value of a run's parameters.
local function params_of(dir)
  local out = {}
  for name, entry in pairs(run_files.params(dir)) do
    if entry.value ~= core.null then out[name] = entry.value end
  end
  return out
end

local function shown(v) return v ~= nil and args.show(v) or nil end

-- experiment -> names of parameters that have more than one value among its runs.
local function differing(runs)
  local first_of, out = {}, {}
  for _, r in ipairs(runs) do
    local first = first_of[r.experiment] or r.params
    first_of[r.experiment], out[r.experiment] = first, out[r.experiment] or {}
    for _, p in ipairs(first ~= r.params and { first, r.params } or {}) do
      for name in pairs(p) do
        if shown(first[name]) ~= shown(r.params[name]) then out[r.experiment][name] = true end
      end
    end
  end
  return out
end

-- What is known of a run beside its parameters. A file that cannot be read makes the run a damaged one, not the end of
-- the list.
local function read(r)
  local ok, problem = pcall(function()
    r.params = params_of(r.dir)
    r.bytes = core.tree_size(r.dir)
    r.status, r.summary = run_files.status(r.dir)
    if r.is_damaged then r.status, r.problem = "damaged", r.dir .. "/run.json cannot be read" end
    if r.status == "unfinished" then
      r.counts = run_files.counts(r.dir)
      r.counts.at = nil
    end
    r.headline = run_files.headline(r.summary)
  end)
  if ok then return end
  if errors.is(problem) and problem.kind == "cancelled" then error(problem, 0) end
  r.status, r.params, r.problem = "damaged", r.params or {}, (tostring(problem):gsub("%s*\n%s*", " "))
end

local function say_line(r, names)
  local parts = {}
  for _, name in ipairs(errors.keys(names)) do
    if r.params[name] ~= nil then parts[#parts + 1] = ("%s=%s"):format(name, shown(r.params[name])) end
  end
  parts[#parts + 1] = r.problem or r.status == "unfinished" and run_files.so_far_text(r.counts) or r.headline
  if r.sweep and not r.is_below then parts[#parts + 1] = "a cell of " .. r.sweep end
  verb.say("%-10s %-14s %-26s %10s  %s", r.status, r.experiment, (r.is_below and "  " or "") .. r.stamp,
    r.bytes and text.bytes(r.bytes) or "", table.concat(parts, "  "))
end

local function say_json(r, names)
  local differs = {}
  for name in pairs(names) do differs[name] = r.params[name] end
  core.out(core.json_encode { run = r.dir, experiment = r.experiment, name = r.stamp, status = r.status, t = r.t,
    bytes = r.bytes, sweep = r.sweep, params = r.params, differs = differs, counts = r.counts, problem = r.problem,
    result = r.summary and r.summary.result, wall_s = r.summary and r.summary.wall_s } .. "\n")
end

-- The runs with the cells of each sweep right below it.
local function in_order(runs, cells)
  local is_listed, out = {}, {}
  for _, r in ipairs(runs) do is_listed[r.dir] = true end
  for _, r in ipairs(runs) do
    r.is_below = r.sweep and is_listed[r.sweep]
    if not r.is_below then
      out[#out + 1] = r
      for _, c in ipairs(cells[r.dir] or {}) do
        if is_listed[c.dir] then out[#out + 1] = c end
      end
    end
  end
  return out
end

local function run(f, words)
  local all = run_files.all()
  local cells, runs = run_files.cells(all), all
  if #words > 0 then
    local is_named = {}
    for _, word in ipairs(words) do
      for _, r in ipairs(run_files.matching(word, all)) do is_named[r.dir] = true end
    end
    runs = require("vegttt.list").filter(all, function(r) return is_named[r.dir] end)
  end
  for _, r in ipairs(runs) do read(r) end
  local names = differing(runs)
  for _, r in ipairs(in_order(runs, cells)) do (f.json and say_json or say_line)(r, names[r.experiment]) end
  if #runs == 0 and not f.json then
    verb.say("no runs%s below runs/ yet; `vegttt experiments/boa.lua` makes one",
      #words > 0 and " of " .. table.concat(words, ", ") or "")
  end
  return 0
end

function ls.main(argv)
  return verb.main(argv, { run = run,
    options = { { "json", nil, "a JSON object a line, with all parameters and the whole result" } },
    help = [[
vegttt ls [RUN…]   the runs below runs/: status, experiment, stamp, size, what differs, result
  RUN is an experiment, the beginning of a stamp, a folder or a glob ('boa/2026*'): only those runs]] })
end

return ls
