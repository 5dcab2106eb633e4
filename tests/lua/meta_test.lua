-- SPDX-License-Identifier: Apache-2.0
--
-- lua/meta/vegttt.lua against the bindings: every name on both sides.
local core = require "vegttt.core"
local support = dofile "tests/lua/support_fake.lua"

local text = core.read "lua/meta/vegttt.lua"
local groups = { eval = true, reward = true, advantage = true, select = true, stats = true, json = true }

local function described()
  local names = {}
  for name in text:gmatch "\nfunction (vt[%w_.]+)%(" do names[name] = true end
  for name in text:gmatch "\n(vt[%w_.]+) = " do names[name] = true end
  return names
end

local function bound(vt)
  local names = {}
  for k, v in pairs(vt) do
    if groups[k] then
      for k2 in pairs(v) do names["vt." .. k .. "." .. k2] = true end
    else
      names["vt." .. k] = true
    end
  end
  return names
end

local function missing(a, b)
  local list = {}
  for name in pairs(a) do
    if not b[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- Methods that a class of the meta file lists as fields of function type.
local function described_methods(class)
  local block = text:match("%-%-%-@class " .. class:gsub("%.", "%%.") .. "[^\n]*\n(.-)\n\n") or ""
  local names = {}
  for name in (block .. "\n"):gmatch "%-%-%-@field ([%w_]+) fun%(" do names[name] = true end
  return names
end

local function methods(object)
  local mt = getmetatable(object)
  local t = mt.methods or mt.__index
  local names = {}
  for name, v in pairs(t) do
    if type(v) == "function" and not name:find "^__" then names[name] = true end
  end
  return names
end

describe("meta", function()
  it("has an entry for every function of the module, and the other way round", function()
    local vt = support.modules(support.core()).vegttt
    expect.equal(missing(bound(vt), described()), "")
    expect.equal(missing(described(), bound(vt)), "")
  end)

  it("lists the methods of every class", function()
    local root = support.folder()
    local r = support.execute(support.main(function(run, _, vt)
      local policy = vt.policy "fake"
      local task = vt.tasks { ids = "19" }[1]
      local group = vt.eval.all(policy:start():sample(task:prompt(), { n = 4 }))
      local objects = { ["vt.Policy"] = policy, ["vt.Weights"] = policy:start(), ["vt.Task"] = task,
        ["vt.Rng"] = run:rng "x", ["vt.Table"] = run:table("t", { "a" }), ["vt.Context"] = vt.context(task:prompt()),
        ["vt.Verdict"] = group[1].result, ["vt.EarlyStop"] = vt.early_stop {},
        ["vt.Picks"] = vt.select.apply(vt.select.rules.first, { group }), ["vt.Vector"] = group[1].logprobs,
        ["vt.Prompt"] = task:prompt(), ["vt.Handle"] = vt.spawn(function() end) }
      for class, object in pairs(objects) do
        expect.equal(missing(methods(object), described_methods(class)), "", class .. " lacks in meta")
        expect.equal(missing(described_methods(class), methods(object)), "", class .. " lacks in code")
      end
      for name in pairs(described_methods "vt.Run") do expect.equal(type(run[name]), "function", "run:" .. name) end
    end), {}, { root = root })
    support.remove(root)
    if r.status ~= "done" then error(tostring(r.value), 0) end
  end)
end)
