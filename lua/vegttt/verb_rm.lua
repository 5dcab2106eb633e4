-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt rm RUN…`: gives the disk of runs back. Everything is looked at before anything goes: a run that a process
-- writes, and a run that another one names, stay. What names a run: the cells of a sweep, every sweep that has it as a
-- cell, a run whose verdicts were timed in it, a run that read its rollouts, weights or results (which would begin anew
-- without them), an unfinished run that takes from it what they have in common. --force removes what others name; nothing
-- removes what is in use.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local rm = {}

-- The runs that the words name, each once, in the order of their age.
local function chosen(words, all)
  local is_named = {}
  for _, word in ipairs(words) do
    local found = run_files.matching(word, all)
    if word == "latest" then found = { { dir = run_files.find "latest" } } end
    local is_many = #found > 1 and not word:find "[*?]"
    if is_many then
      errors.usage("'%s' could be %d runs; a glob ('%s/*', '2026*') names several", word, #found, found[1].experiment)
    end
    if #found == 0 then errors.usage("there is no run '%s'; `vegttt ls` lists them", word) end
    for _, r in ipairs(found) do is_named[r.dir] = true end
  end
  return is_named
end

-- The folders of the set by where they are, and their runs by folder.
local function places(all, set)
  local out = { dirs = errors.keys(set), of = {}, run = {} }
  for _, dir in ipairs(out.dirs) do out.of[core.real_path(dir)] = dir end
  for _, r in ipairs(all) do out.run[r.dir] = r end
  return out
end

-- The folder of the set that `path`, as a run that was started in cwd has it, leads to or below.
local function holder(path, cwd, at)
  local place = core.real_path(path:find "^/" and path or cwd .. "/" .. path)
  while place and place ~= "" do
    if at.of[place] then return at.of[place] end
    place = place:match "^(.*)/[^/]*$"
  end
end

-- The first folder that a glob of this reader names: one of a run that had begun when the reader ended.
local function matched(glob, cwd, at, ended)
  local name = glob:gsub("^%./", ""):gsub("(.)/+$", "%1")
  local real = core.real_path(cwd)
  if real and name:sub(1, #real + 1) == real .. "/" then name = name:sub(#real + 2) end
  local pattern, below = run_files.pattern(name), run_files.pattern(name .. "/*")
  local runs = {}
  for i, dir in ipairs(at.dirs) do runs[i] = at.run[dir] end
  local is_named = {}
  for _, r in ipairs(run_files.matching(name, runs)) do is_named[r.dir] = true end
  for _, dir in ipairs(at.dirs) do
    local began = math.tointeger(tonumber(at.run[dir].t)) or 0
    if (is_named[dir] or dir:find(pattern) or dir:find(below)) and (not ended or began < ended) then return dir end
  end
end

-- The run of the set that a snapshot's reference names: "RUN@step1", or whichever has the state, where it named another
-- run every day ("latest@step1").
local function with_snapshot(x, cwd, at)
  local what = x.name:match "^(.*)@" or x.name
  local found = what ~= "latest" and holder(what, cwd, at)
  if found then return found end
  for _, dir in ipairs(at.dirs) do
    local stamp = dir:match "[^/]+$"
    local is_named = what ~= "latest" and stamp:sub(1, #what) == what
    if is_named or core.exists(("%s/ckpt/%s"):format(dir, x.digest)) then return dir end
  end
end

-- The folder of the set that an input names. cwd, ended: of the run whose input it is.
local function named_by_input(x, cwd, at, ended)
  if type(x.name) ~= "string" then return nil end
  if x.kind == "file" or x.kind == "found" then return x.digest ~= "absent" and holder(x.name, cwd, at) end
  if x.kind == "model" then -- MODEL, or MODEL+ADAPTER
    for part in x.name:gmatch "[^+]+" do
      local dir = holder(part, cwd, at)
      if dir then return dir end
    end
    return nil
  end
  if x.kind == "weights" then return with_snapshot(x, cwd, at) end
  if x.kind == "flag" then
    local from = x.name:match "^reward%-from (.+)$"
    return from and (holder(from, cwd, at) or matched(from, cwd, at, ended))
  end
  if x.kind == "rollouts" or x.kind == "runs" then
    return not x.name:find "[*?]" and holder(x.name, cwd, at) or matched(x.name, cwd, at, ended)
  end
end

-- The folder of the set whose clock measured verdicts of the run in `dir`.
local function timed_in(dir, set)
  local file = io.open(dir .. "/evals.jsonl", "r")
  if not file then return nil end
  local found
  for line in file:lines() do
    local from = line:match '"timed_in":"([^"]*)"'
    if from and set[from] then found = from break end
  end
  file:close()
  return found
end

-- The sweeps of each cell: dir -> folders of those that name it, and the one that it names itself.
local function sweeps_of(all)
  local out, known = {}, {}
  local function add(cell, sweep)
    out[cell] = out[cell] or {}
    local key = cell .. "\0" .. sweep
    if not known[key] then table.insert(out[cell], sweep) end
    known[key] = true
  end
  for _, r in ipairs(all) do
    if r.sweep then add(r.dir, r.sweep) end
    for _, dir in ipairs(run_files.named_cells(r.dir)) do add(dir, r.dir) end
  end
  return out
end

-- The first sweep of the cell that is not in the set.
local function other_sweep(sweeps, set, dir)
  for _, sweep in ipairs(sweeps[dir] or {}) do
    if not set[sweep] then return sweep end
  end
end

-- Puts the cells of the sweeps of the set into it, and theirs; those that other sweeps need stay: { { dir, sweep }, … }
local function add_cells(set, sweeps, all)
  local is_named, kept, has_grown = closed.copy(set), {}, true
  local function is_of_set(dir)
    for _, sweep in ipairs(sweeps[dir] or {}) do
      if set[sweep] then return true end
    end
  end
  while has_grown do
    has_grown = false
    for _, r in ipairs(all) do
      if not set[r.dir] and is_of_set(r.dir) then set[r.dir], has_grown = true, true end
    end
  end
  repeat -- what stays keeps its own cells
    has_grown = false
    for _, dir in ipairs(errors.keys(set)) do
      local sweep = not is_named[dir] and other_sweep(sweeps, set, dir)
      if sweep then
        set[dir], has_grown = nil, true
        kept[#kept + 1] = { dir = dir, sweep = sweep }
      end
    end
  until not has_grown
  return kept
end

-- Why runs outside the set need one of it: { { dir, by, why }, … }
local function dependents(all, set, sweeps)
  local out, at = {}, places(all, set)
  for _, dir in ipairs(at.dirs) do
    local sweep = other_sweep(sweeps, set, dir)
    if sweep then out[#out + 1] = { dir = dir, by = sweep, why = "has it as a cell" } end
  end
  for _, r in ipairs(all) do
    if not set[r.dir] then
      local function note(dir, why) out[#out + 1] = { dir = dir, by = r.dir, why = why } end
      if r.sweep and set[r.sweep] and not other_sweep(sweeps, set, r.dir) then note(r.sweep, "is a cell of it") end
      local clock = timed_in(r.dir, set)
      if clock then note(clock, "has verdicts that were timed in it") end
      local ended, cwd, known = core.modified(r.dir .. "/summary.json"), tostring(r.about.cwd or "."), {}
      if not core.is_dir(cwd) then cwd = "." end -- the project was moved
      run_files.lines(r.dir, "inputs.jsonl", function(x)
        local dir = named_by_input(x, cwd, at, ended)
        if dir and not known[dir] then
          known[dir] = true
          note(dir, "read it")
        end
      end)
      if set[r.about.before] and not core.exists(r.dir .. "/summary.json") then
        note(r.about.before, "is not finished and takes from it what they have in common")
      end
    end
  end
  return out
end

local function refuse(list)
  local d = list[1]
  errors.usage("%s stays: %s %s%s; --force removes it all the same%s", d.dir, d.by, d.why,
    #list > 1 and (" (and %d more such)"):format(#list - 1) or "",
    d.why == "is a cell of it" and ", --cells its cells with it" or "")
end

local function run(f, words)
  if #words == 0 then errors.usage "rm needs the runs to remove: stamps, folders or globs; `vegttt ls` lists them" end
  local all = run_files.all()
  run_files.cells(all)
  local set, sweeps = chosen(words, all), sweeps_of(all)
  local kept = f.cells and add_cells(set, sweeps, all) or {}
  local needed = dependents(all, set, sweeps)
  if #needed > 0 and not f.force then refuse(needed) end
  local dirs = errors.keys(set)
  local _, in_use = core.runs_remove(dirs, true)
  if in_use then error(in_use, 0) end -- it keeps all of them
  local n, total, sizes, freed = 0, 0, core.tree_sizes(dirs)
  local is_removed, problem
  if not f["dry-run"] then is_removed, problem = core.runs_remove(dirs, false) end
  for i, dir in ipairs(dirs) do
    if not is_removed or is_removed[i] then
      n, total = n + 1, total + freed[i]
      verb.say("%s %s: %s%s", f["dry-run"] and "would remove" or "removed", dir, text.bytes(freed[i]),
        freed[i] < sizes[i] and (" (%s more stand in other runs too and stay)"):format(text.bytes(sizes[i] - freed[i])) or "")
    end
  end
  for _, c in ipairs(kept) do verb.say("%s stays: %s has it as a cell", c.dir, c.sweep) end
  verb.say("%d runs, %s %s", n, text.bytes(total), f["dry-run"] and "would be given back" or "given back")
  if problem then error(problem, 0) end
  return 0
end

function rm.main(argv)
  return verb.main(argv, { run = run,
    options = { { "dry-run", nil, "say what would go; remove nothing" },
      { "cells", nil, "of a sweep: its cells too, and theirs, but for those that another sweep has" },
      { "force", nil, "also what other runs name" } },
    help = [[
vegttt rm RUN…   removes runs and says how many bytes that gives back
  RUN is the beginning of a stamp, a folder, "latest" or a glob ('boa/2026*', 'runs/boa/*')

A run that a process writes stays, whatever is given. A run that others name stays without --force: a sweep with cells,
a cell of a sweep, a run in which verdicts of others were timed, or that others read.]],
    after = "Exit codes: 0 removed, 2 no such run, or named by others, 4 in use, or the disk would not" })
end

return rm
