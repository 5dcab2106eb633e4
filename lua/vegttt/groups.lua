-- SPDX-License-Identifier: Apache-2.0
--
-- What functions of the surface are given where they ask for samples: a group, a list of groups, lists of those, or a
-- flat list of samples. Groups need not be the engine's own: a script may build them, so every function that takes some
-- reads them through this file, which says at the script's line what is wrong with them.
local errors = require "vegttt.errors"

local groups = {}

function groups.is_sample(x)
  if type(x) ~= "table" then return false end
  local class = getmetatable(x)
  return rawget(x, "tokens") ~= nil or rawget(x, "result") ~= nil or type(class) == "table" and class.__name == "vt.Sample"
end

-- Refuses what is no sample, or lacks a field of `needs`, where the script calls.
local function check(op, s, needs)
  if type(s) ~= "table" then errors.misuse(op, "%s needs groups of samples; it met a %s", op, type(s)) end
  for _, field in ipairs(needs) do
    if s[field] == nil then errors.misuse(op, "%s: a sample has no %s", op, field) end
  end
end

---A group or a list of groups as a list of groups, all of whose samples have the fields named behind.
function groups.list(op, g, ...)
  if type(g) ~= "table" then errors.misuse(op, "%s needs groups of samples, not a %s", op, type(g)) end
  local out, needs = groups.is_sample(g[1]) and { g } or g, { ... }
  for _, group in ipairs(out) do
    check(op, group, {})
    for _, s in ipairs(group) do check(op, s, needs) end
  end
  return out
end

---All samples, in order, of which each has the fields named behind.
function groups.samples(op, g, ...)
  if type(g) ~= "table" then errors.misuse(op, "%s needs a group of samples, not a %s", op, type(g)) end
  local out, needs = {}, { ... }
  local function collect(t)
    for _, s in ipairs(t) do
      check(op, s, {})
      if groups.is_sample(s) then
        check(op, s, needs)
        out[#out + 1] = s
      else
        collect(s)
      end
    end
  end
  collect(g)
  return out
end

---Samples as groups by task, { task =, samples… }, in order of first appearance.
function groups.by_task(op, of)
  local out, by = {}, {}
  for _, s in ipairs(groups.samples(op, of)) do
    local id = s.task and s.task.id or 0
    if not by[id] then
      by[id] = { task = s.task }
      out[#out + 1] = by[id]
    end
    table.insert(by[id], s)
  end
  return out
end

---What tells a sample's code from another's: its digest, else that of the answer that was read back (whose text is in its
---line still), else the code, else the text, else the sample itself.
function groups.code_of(s)
  local class = getmetatable(s)
  if type(class) == "table" and class.__name == "vt.Sample" then
    return rawget(s, "code_sha") or rawget(s, "text_sha") or s.code or s.text or s
  end
  return rawget(s, "code_sha") or rawget(s, "code") or rawget(s, "text") or s
end

---Each group with the first sample of each of its codes, whatever became of it.
function groups.codes(list)
  local out = {}
  for i, g in ipairs(groups.list("vt.codes", list)) do
    local have, one = {}, setmetatable({}, { __index = { task = g.task } })
    for _, s in ipairs(g) do
      local code = groups.code_of(s)
      if not have[code] then one[#one + 1], have[code] = s, true end
    end
    out[i] = one
  end
  return out
end

---How many different codes the samples of each group have, added up.
function groups.n_distinct(list)
  local n = 0
  for _, g in ipairs(list) do
    local have = {}
    for _, s in ipairs(g) do
      local code = groups.code_of(s)
      if not have[code] then
        have[code] = true
        n = n + 1
      end
    end
  end
  return n
end

return groups
