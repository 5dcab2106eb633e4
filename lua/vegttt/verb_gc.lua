-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt gc`: gives back the disk of what nobody needs, and touches no result.
--
-- In the content store: objects that no run below runs/ names and that nobody used for --keep days. The store is shared
-- by all folders of the machine and only saves time, so an object that a run elsewhere would have liked is made again.
-- Builds have names of their own that no record holds, so they go by their last use alone. Objects that are being read
-- or were used since the listing stay (engine/store/content.h), so gc may run beside anything. The digests of files that
-- are kept beside it go by their age.
--
-- Below runs/: what training needs beside the parameters, of runs that are finished and train no more; folders of states
-- that were being written when their process died; what is left of runs that were being removed. A run that a process
-- holds is passed over.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local session = require "vegttt.session"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local gc = {}

local moments = "vegttt_optimizer.safetensors"
local sidecar = "vegttt_weights.json"

-- Adds every key that a run's lines hold. Quotes within texts are written with a backslash, so no text looks like a key.
local function add_keys(dir, keys)
  for _, name in ipairs { "rollouts.jsonl", "evals.jsonl" } do
    local file = io.open(dir .. "/" .. name, "r")
    for line in file and file:lines() or function() end do
      for key in line:gmatch '"key":"(%x+)"' do keys[key] = true end
    end
    if file then file:close() end
  end
end

local function sweep_store(runs, days, is_dry)
  local store = session.content()
  if not store then return 0 end
  local keys = {}
  for _, r in ipairs(runs) do add_keys(r.dir, keys) end
  local until_s = os.time() + 1 - days * 86400 -- it counts whole seconds: all of this one is past
  local n, bytes = core.content_sweep(store, keys, until_s, is_dry)
  verb.say("content store: %d objects that no run here names, unused for %s days or more: %s", n,
    text.number(days, 4), text.bytes(bytes))
  return bytes
end

-- Digests of large files (engine/model/ckpt_digest.c), which are found again by reading the files.
local function sweep_digests(days, is_dry)
  local _, store = session.content()
  local dir = store and store:gsub("[^/]*/*$", "") .. "digests"
  local n, bytes, until_ns = 0, 0, (os.time() + 1 - days * 86400) * 1e9
  for _, name in ipairs(dir and core.list(dir) or {}) do
    local path = dir .. "/" .. name
    local modified = core.modified(path)
    if modified and (modified < until_ns or #name > 3) then -- once they were kept under longer names, without end
      n, bytes = n + 1, bytes + core.tree_size(path)
      if not is_dry then core.remove(path) end
    end
  end
  if n > 0 then verb.say("digests of files: %d, written more than %s days ago: %s", n, text.number(days, 4), text.bytes(bytes)) end
  return bytes
end

-- The state in `path` loses what training needs: first it is said that it cannot be trained on, then it is so.
local function drop_moments(path)
  local ok, record = pcall(function() return core.json_decode(core.read(path .. "/" .. sidecar), sidecar) end)
  if ok and type(record) == "table" and record.masters then
    record.masters = false
    core.write(path .. "/" .. sidecar, core.json_encode(record) .. "\n")
  end
  core.remove(path .. "/" .. moments)
end

-- What can go from one run: { { path, is_moments }, … }
local function waste_of(dir, is_finished)
  local out = {}
  for _, name in ipairs(core.list(dir .. "/ckpt")) do
    local path = dir .. "/ckpt/" .. name
    if name:find "%.tmp2?$" or name:find "%.tmp2?%.tmp$" then
      out[#out + 1] = { path = path }
    elseif is_finished and core.exists(path .. "/" .. moments) then
      out[#out + 1] = { path = path, is_moments = true }
    end
  end
  return out
end

local function freed_by(x)
  local _, freed = core.tree_size(x.is_moments and x.path .. "/" .. moments or x.path)
  return freed
end

local function clean_run(r, is_dry)
  local list = waste_of(r.dir, core.exists(r.dir .. "/summary.json"))
  if #list == 0 then return 0 end
  local ok, lock = pcall(core.run_hold, r.dir)
  if not ok and errors.is(lock) and lock.code == "EBUSY" then
    verb.say("%s: in use, left as it is", r.dir)
    return 0
  elseif not ok then
    error(lock, 0)
  end
  local bytes = 0
  for _, x in ipairs(list) do
    bytes = bytes + freed_by(x)
    if not is_dry then
      if x.is_moments then drop_moments(x.path) else core.remove(x.path) end
    end
  end
  core.run_release(lock)
  verb.say("%s: what only training needs of %d states: %s", r.dir, #list, text.bytes(bytes))
  return bytes
end

local function clean_remains(is_dry)
  local bytes = 0
  for _, dir in ipairs(run_files.remains()) do
    local _, freed = core.tree_size(dir)
    local ok, problem = pcall(core.run_remove, dir, is_dry)
    if ok then
      bytes = bytes + freed
      verb.say("%s: what is left of a run: %s", dir, text.bytes(freed))
    elseif not (errors.is(problem) and problem.code == "EBUSY") then
      error(problem, 0)
    end
  end
  return bytes
end

local function run(f, words)
  if #words > 0 then errors.usage("gc takes no words, and was given '%s'; `vegttt rm` removes runs", words[1]) end
  local runs, bytes = run_files.all(), 0
  for _, r in ipairs(runs) do bytes = bytes + clean_run(r, f["dry-run"]) end
  bytes = bytes + clean_remains(f["dry-run"])
  bytes = bytes + sweep_store(runs, f.keep, f["dry-run"]) + sweep_digests(f.keep, f["dry-run"])
  verb.say("%s %s", text.bytes(bytes), f["dry-run"] and "would be given back" or "given back")
  return 0
end

function gc.main(argv)
  return verb.main(argv, { run = run, max_words = 0,
    options = { { "dry-run", nil, "say what would go; remove nothing" },
      { "keep", "DAYS", "stored results that were used within so many days stay", kind = "number", min = 0,
        default = 7 } },
    help = [[
vegttt gc   gives back the disk of what no run needs; no result changes, and other processes may go on meanwhile]] })
end

return gc
