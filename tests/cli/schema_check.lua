-- SPDX-License-Identifier: Apache-2.0
--
-- Run by schema.case as a test file: every record of every run below runs/ against lua/vegttt/schema.lua, both ways: what
-- a run writes has a meaning there, and what has a meaning there is written by one of the runs.
local core = require "vegttt.core"
local schema = require "vegttt.schema"

-- What these runs cannot make: requests of a backend without seeds of its own (a remote one), GPUs and money are counted
-- anyway; nor verdicts of another run, nor of a
-- function in somebody's file (optimise).
local elsewhere = { ["summary.json not_replayed"] = true, ["rollouts.jsonl request"] = true,
  ["evals.jsonl unit"] = true, ["evals.jsonl unit.truth"] = true, ["evals.jsonl unit.cflags"] = true }

local function folders(dir, out)
  for _, experiment in ipairs(core.list(dir)) do
    for _, stamp in ipairs(experiment ~= "latest" and core.list(dir .. "/" .. experiment) or {}) do
      out[#out + 1] = ("%s/%s/%s"):format(dir, experiment, stamp)
    end
  end
  return out
end

-- The paths below a run that a name of schema.files stands for.
local function paths(dir, name)
  local before, after = name:match "^(.*)%*/(.*)$"
  if not before then return { dir .. "/" .. name } end
  local out = {}
  for _, x in ipairs(core.list(dir .. "/" .. before)) do out[#out + 1] = ("%s/%s%s/%s"):format(dir, before, x, after) end
  return out
end

local function each_record(path, fn)
  if not core.exists(path) then return end
  if path:find "%.jsonl$" then return core.read_lines(path, fn) end
  fn(core.json_decode(core.read(path), path))
end

local runs, seen = folders("runs", {}), {}

it("what runs write has a meaning", function()
  local told, n = {}, 0
  for _, dir in ipairs(runs) do
    for _, file in ipairs(schema.files) do
      for _, path in ipairs(paths(dir, file[1])) do
        each_record(path, function(record)
          n = n + 1
          for _, problem in ipairs(schema.check(file, record, seen)) do
            local what = file[1] .. ": " .. problem
            told[what] = told[what] or path
          end
        end)
      end
    end
  end
  local lines = {}
  for what, path in pairs(told) do lines[#lines + 1] = ("%s (%s)"):format(what, path) end
  table.sort(lines)
  expect.equal(table.concat(lines, "\n"), "")
  expect.truthy(n > 200 and #runs > 8, "runs and records")
end)

it("what has a meaning is written", function()
  local missing = {}
  local function need(file, fields)
    for _, f in ipairs(schema.fields(fields)) do
      local name = file .. " " .. f.name
      if not seen[name] and not elsewhere[name] then missing[#missing + 1] = name end
    end
  end
  for _, file in ipairs(schema.files) do
    need(file[1], file[3])
    for _, kind in pairs(file.kinds or {}) do need(file[1], kind[2]) end
  end
  table.sort(missing)
  expect.equal(table.concat(missing, "\n"), "")
end)

it("every file of a run is described", function()
  local known = { ["run.json"] = true, source = true, tables = true, plots = true, blobs = true, ckpt = true, tasks = true,
    log = true, waits = true }
  for _, file in ipairs(schema.files) do known[file[1]:match "^[^/]+"] = true end
  local saved = { ["selected"] = true, ["adapter"] = true, ["notes.json"] = true } -- by scripts: run:save
  for _, dir in ipairs(runs) do
    for _, name in ipairs(core.list(dir)) do expect.truthy(known[name] or saved[name], dir .. "/" .. name) end
  end
end)
