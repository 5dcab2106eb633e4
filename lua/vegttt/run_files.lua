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

---The whole lines of a .jsonl file; one that cannot be read ends the list.
function run_files.lines(dir, name, fn)
  local ok, e = pcall(core.read_lines, dir .. "/" .. name, fn)
  if not ok and errors.is(e) and e.code ~= "EFORMAT" then error(e, 0) end
  if not ok then
    core.err(("vegttt: %s is damaged; what stands before the damage is used\n"):format(dir .. "/" .. name))
  end
end

local function is_run(dir) return core.exists(dir .. "/run.json") end

---All runs below runs/: { dir, experiment, stamp }, oldest first.
function run_files.all()
  local out = {}
  for _, experiment in ipairs(core.list(root)) do
    if experiment ~= "latest" then
      for _, stamp in ipairs(core.list(root .. "/" .. experiment)) do
        local dir = ("%s/%s/%s"):format(root, experiment, stamp)
        if is_run(dir) then
          local about = run_files.json(dir, "run.json") or {}
          out[#out + 1] = { dir = dir, experiment = experiment, stamp = stamp, t = tostring(about.t or "0"), id = about.id,
            parent = about.parent }
        end
      end
    end
  end
  table.sort(out, function(a, b)
    if #a.t ~= #b.t then return #a.t < #b.t end
    if a.t ~= b.t then return a.t < b.t end
    return a.dir < b.dir
  end)
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
    end
  end)
  return out
end

---The text of a blob that a record names, or nil.
function run_files.blob(dir, sha)
  local path = sha and ("%s/blobs/%s/%s"):format(dir, sha:sub(1, 2), sha)
  return path and core.exists(path) and core.read(path) or nil
end

---"finished" or "unfinished".
function run_files.status(dir)
  return core.exists(dir .. "/summary.json") and (run_files.json(dir, "summary.json") and "finished" or "damaged")
    or "unfinished"
end

---Scalars of a summary's result as "name = value", sorted.
function run_files.headline(summary)
  local parts = {}
  for _, k in ipairs(errors.keys(summary and summary.result or {})) do
    local v = summary.result[k]
    if type(v) == "table" then v = v.value end
    if type(v) == "number" or type(v) == "string" then
      parts[#parts + 1] = k .. " " .. text.value(v, 3):gsub("%s*\n%s*", " ")
    end
  end
  return table.concat(parts, ", ")
end

---Samples and verdicts of a run that is not finished, in words.
function run_files.so_far(dir)
  local n_samples, n_evals, n_correct = 0, 0, 0
  run_files.lines(dir, "rollouts.jsonl", function(line) n_samples = n_samples + (line.tokens and 1 or 0) end)
  run_files.lines(dir, "evals.jsonl", function(line)
    if line.confirms then return end
    n_evals, n_correct = n_evals + 1, n_correct + (line.correct and 1 or 0)
  end)
  return ("%d samples, %d verdicts, %d correct so far"):format(n_samples, n_evals, n_correct)
end

return run_files
