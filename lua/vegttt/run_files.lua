-- SPDX-License-Identifier: Apache-2.0
--
-- Recorded runs as files: finding the one a user means, and reading what is there. Everything works on a run that is
-- still going, was killed, or was cut short: a file that is missing is nothing, a torn last line is left out.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local results = require "vegttt.results"
local tasks = require "vegttt.tasks"
local text = require "vegttt.text"

local run_files = {}

local root = "runs"

---A JSON file of a run, or nil when it is absent or cut.
function run_files.json(dir, name)
  local path = dir .. "/" .. name
  if not core.exists(path) then return nil end
  local ok, value = pcall(function() return core.json_decode(core.read(path), path) end)
  return ok and type(value) == "table" and value or nil
end

---summary.json with its numbers put back, or nil where there is none: .result and .meter are tables whatever was written.
function run_files.summary(dir)
  local s = run_files.json(dir, "summary.json")
  return s and results.revive(s)
end

---params.json: name -> { value, origin, … }; what is no entry is left out.
function run_files.params(dir)
  local out = {}
  for name, entry in pairs(run_files.json(dir, "params.json") or {}) do
    if type(name) == "string" and type(entry) == "table" then out[name] = entry end
  end
  return out
end

---The whole lines of a .jsonl file; one that cannot be read ends the list. is_light: arrays of numbers are empty.
function run_files.lines(dir, name, fn, is_light)
  local ok, e = pcall(core.read_lines, dir .. "/" .. name, fn, is_light)
  if not ok and errors.is(e) and e.code ~= "EFORMAT" then error(e, 0) end
  if not ok then
    core.err(("vegttt: %s is damaged; what stands before the damage is used\n"):format(dir .. "/" .. name))
  end
end

local function is_run(dir) return core.exists(dir .. "/run.json") end

local function older_first(a, b)
  if #a.t ~= #b.t then return #a.t < #b.t end
  if a.t ~= b.t then return a.t < b.t end
  return a.dir < b.dir
end

---All runs below runs/: { dir, experiment, stamp, id, parent = the id of the sweep it is a cell of, about = run.json, is_damaged: that cannot be read },
---oldest first.
function run_files.all()
  local out = {}
  for _, experiment in ipairs(core.list(root)) do
    for _, stamp in ipairs(experiment ~= "latest" and core.list(root .. "/" .. experiment) or {}) do
      local dir = ("%s/%s/%s"):format(root, experiment, stamp)
      if is_run(dir) then
        local found = run_files.json(dir, "run.json")
        local about = found or {}
        out[#out + 1] = { is_damaged = not found, dir = dir, experiment = experiment, stamp = stamp, t = tostring(about.t or "0"), id = about.id,
          parent = about.parent, about = about }
      end
    end
  end
  table.sort(out, older_first)
  return out
end

---What is left below runs/ of runs that were being removed, or made, when the machine went down: folders.
function run_files.remains()
  local out = {}
  for _, experiment in ipairs(core.list(root)) do
    for _, stamp in ipairs(experiment ~= "latest" and core.list(root .. "/" .. experiment) or {}) do
      local dir = ("%s/%s/%s"):format(root, experiment, stamp)
      if not is_run(dir) and core.exists(dir .. "/lock") then out[#out + 1] = dir end
    end
  end
  return out
end

---The cells of each sweep among these runs: dir of the sweep -> its cells. A cell names its sweep by id, which a sweep
---made afresh shares: it belongs to the newest that is older than the cell.
function run_files.cells(runs)
  local by_id, out = {}, {}
  for _, r in ipairs(runs) do
    local sweep = r.parent and by_id[r.parent]
    if sweep then
      r.sweep = sweep.dir
      out[sweep.dir] = out[sweep.dir] or {}
      table.insert(out[sweep.dir], r)
    end
    if r.id then by_id[r.id] = r end
  end
  return out
end

---The folders of the runs that a sweep names as its cells, also those that are cells of another sweep as well.
function run_files.named_cells(dir)
  local file, out = io.open(dir .. "/journal.jsonl", "r"), {}
  if not file then return out end
  for line in file:lines() do out[#out + 1] = line:match '"key":"cell/([^"]+)"' end -- most lines are long, and other things
  file:close()
  return out
end

---A Lua pattern for what a glob with * and ? names.
function run_files.pattern(glob)
  return "^" .. glob:gsub("[%-%.%+%[%]%(%)%$%^%%]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

---The runs that a word names: an experiment, a folder, the beginning of a stamp, or a glob over EXPERIMENT/STAMP, over
---stamps, or over experiments.
function run_files.matching(word, runs)
  local plain = word:gsub("(.)/+$", "%1"):gsub("^%./", "")
  local is_glob = plain:find "[*?]" ~= nil
  local pattern = run_files.pattern(plain)
  local out = {}
  for _, r in ipairs(runs) do
    local name = r.experiment .. "/" .. r.stamp
    local is_named
    if is_glob then
      is_named = r.dir:find(pattern) or name:find(pattern) or r.stamp:find(pattern) or r.experiment:find(pattern)
    else
      local of = plain:find "/" and name or r.stamp
      is_named = r.dir == plain or r.experiment == plain or of:sub(1, #plain) == plain
    end
    if is_named then out[#out + 1] = r end
  end
  return out
end

---The folder of a run: a path, "latest", or a prefix of its stamp (or EXPERIMENT/stamp) that only one run has.
function run_files.find(what)
  if is_run(what) then return (what:gsub("(.)/+$", "%1")) end
  if core.is_dir(what) and what:find "/" then errors.usage("%s holds no run: it has no run.json", what) end
  local runs = run_files.all()
  if what == "latest" then
    for i = #runs, 1, -1 do
      if not runs[i].parent then return runs[i].dir end -- a sweep, not its last cell
    end
    errors.usage "there is no run below runs/ yet; `vegttt experiments/boa.lua` makes one"
  end
  local found = {}
  for _, r in ipairs(runs) do
    if r.stamp == what or r.experiment .. "/" .. r.stamp == what then return r.dir end
    if r.stamp:sub(1, #what) == what or (r.experiment .. "/" .. r.stamp):sub(1, #what) == what then
      found[#found + 1] = r.dir
    end
  end
  if #found == 1 then return found[1] end
  if #found > 1 then
    errors.usage("'%s' could be %d runs: %s%s", what, #found, table.concat(found, ", ", 1, math.min(3, #found)),
      #found > 3 and ", …" or "")
  end
  errors.usage("there is no run '%s'; `vegttt ls` lists them", what)
end

---task(id) of a run: the user's own as the run kept it, else the one that comes with vegttt.
function run_files.tasks_of(dir)
  local known = {}
  return function(id)
    local own = not known[id] and run_files.json(dir, ("tasks/%d.json"):format(id))
    known[id] = known[id] or own and tasks.of(own) or tasks.get({ ids = { id } })[1]
    return known[id]
  end
end

---Samples of a run in the order in which they were recorded, with reward and advantage where they are known, and first
---verdicts: { line, … }, each with .result or nil. They are numbered from 1.
function run_files.samples(dir)
  local out, by_key, verdicts = {}, {}, {}
  run_files.lines(dir, "evals.jsonl", function(v)
    if not v.confirms then verdicts[v.task .. "/" .. v.code_sha] = v end
  end)
  run_files.lines(dir, "rollouts.jsonl", function(line)
    if line.tokens then
      out[#out + 1], by_key[line.key] = line, line
      line.result = line.code_sha and verdicts[tostring(line.task) .. "/" .. line.code_sha] or nil
    elseif by_key[line.key] then
      by_key[line.key].reward, by_key[line.key].advantage = line.reward, line.advantage
      by_key[line.key].dropped = line.dropped
    end
  end)
  return out
end

---The text of a blob that a record names, or nil.
function run_files.blob(dir, sha)
  local path = sha and ("%s/blobs/%s/%s"):format(dir, sha:sub(1, 2), sha)
  return path and core.exists(path) and core.read(path) or nil
end

---"finished", "unfinished" or "damaged", and the summary.
function run_files.status(dir)
  if not core.exists(dir .. "/summary.json") then return "unfinished" end
  local summary = run_files.summary(dir)
  return summary and "finished" or "damaged", summary
end

---Scalars of a summary's result as "name = value", sorted.
function run_files.headline(summary)
  local parts = {}
  for _, k in ipairs(errors.keys(summary and summary.result or {})) do
    local v = summary.result[k]
    if type(v) == "table" then v = v.value end
    if type(v) == "number" or type(v) == "string" then
      parts[#parts + 1] = k .. " " .. text.value(text.short(v), 3):gsub("%s*\n%s*", " ")
    end
  end
  return table.concat(parts, ", ")
end

-- Counts whole lines by the texts that they hold, without reading what stands in them: a quote within a text is written
-- with a backslash, so none of these can come from a sample's answer. from: where to begin; where the next would.
local function count_lines(path, from, fn)
  local file = io.open(path, "r")
  if not file then return from end
  file:seek("set", from)
  for line in file:lines "L" do
    if line:sub(-1) == "\n" then
      fn(line)
      from = from + #line
    end
  end
  file:close()
  return from
end

local function has(line, text) return line:find(text, 1, true) ~= nil end

---What has been recorded: numbers of samples, first verdicts, and correct ones among them. n: what was counted before of
---this run, to go on from there.
function run_files.counts(dir, n)
  n = n or { samples = 0, verdicts = 0, correct = 0 }
  n.at = n.at or { rollouts = 0, evals = 0 }
  n.at.rollouts = count_lines(dir .. "/rollouts.jsonl", n.at.rollouts, function(line)
    if has(line, '"tokens":[') then n.samples = n.samples + 1 end
  end)
  n.at.evals = count_lines(dir .. "/evals.jsonl", n.at.evals, function(line)
    if not has(line, '"key":') or has(line, '"confirms":') then return end
    n.verdicts, n.correct = n.verdicts + 1, n.correct + (has(line, '"correct":true') and 1 or 0)
  end)
  return n
end

---The same in words.
function run_files.so_far_text(n)
  return ("%d samples, %d verdicts, %d correct so far"):format(n.samples, n.verdicts, n.correct)
end

---What a run that is not finished has, in words.
function run_files.so_far(dir) return run_files.so_far_text(run_files.counts(dir)) end

return run_files
