-- SPDX-License-Identifier: Apache-2.0
--
-- lua/meta/vegttt.lua against the code: every name on both sides, and every function and method called by some test on
-- the real engine.
local core = require "vegttt.core"
local small = require "support_tasks"
local support = require "support"

local text = core.read "lua/meta/vegttt.lua"
local groups = { "eval", "reward", "advantage", "select", "stats", "json" }

local function described()
  local names = {}
  for name in text:gmatch "\nfunction (vt[%w_.]+)%(" do names[name] = true end
  for name in text:gmatch "\n(vt[%w_.]+) = " do names[name] = true end
  return names
end

local function bound(vt)
  local names = {}
  for k, v in pairs(vt) do
    local is_group = vt.find(groups, function(g) return g == k end)
    for k2 in pairs(is_group and v or {}) do names["vt." .. k .. "." .. k2] = true end
    if not is_group then names["vt." .. k] = true end
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

-- Fields of a class in the meta file: those of function type, and the others.
local function described_fields(class)
  local methods, fields = {}, {}
  local head = "%-%-%-@class " .. class:gsub("%.", "%%.") .. "%f[^%w]"
  local block = (text:match(head .. "[^\n]*\n(.-)\n\n") or ""):gsub("%-%-%-@class.*", "")
  for name, kind in (block .. "\n"):gmatch "%-%-%-@field ([%w_]+)%?? ([^\n]*)" do
    (kind:find "^fun%(" and methods or fields)[name] = true
  end
  -- Classes that are one table type on the line of their name.
  local inline = text:match(head .. "[^\n]-: { ([^\n]*) }")
  for name in (inline or ""):gmatch "([%a_][%w_]*)%??: " do fields[name] = true end
  return methods, fields
end

local function classes() return text:gmatch "%-%-%-@class (vt%.%w+)" end

describe("meta", function()
  it("has an entry for every function of the module, and the other way round", function()
    local vt = support.modules(support.stage.real()).vegttt
    expect.equal(missing(bound(vt), described()), "")
    expect.equal(missing(described(), bound(vt)), "")
  end)

  it("lists the methods of every class, and only fields that objects have", function()
    support.inside(function(run, p, vt)
      local policy, task = vt.policy(p.model), vt.task(small.same)
      local group = vt.eval.all(policy:start():sample(task:prompt(), { n = 8, temperature = 1.0 }))
      local picks = vt.select.apply(vt.select.rules.first, { group })
      local candidate, learner = nil, vt.learner(run, p)
      local cells = run:sweep(vt.experiment { name = "cell", main = function() return {} end }, { {} })
      vt.select.apply(function(cs)
        candidate = cs[1]
        return cs[1]
      end, { group })
      local objects = { ["vt.Run"] = run, ["vt.Policy"] = policy, ["vt.Weights"] = policy:start(), ["vt.Task"] = task,
        ["vt.Rng"] = run:rng "x", ["vt.Table"] = run:table("t", { "a" }), ["vt.Context"] = vt.context(task:prompt()),
        ["vt.Verdict"] = group[1].result, ["vt.EarlyStop"] = vt.early_stop {}, ["vt.Picks"] = picks,
        ["vt.Vector"] = group[1].logprobs, ["vt.Prompt"] = task:prompt(), ["vt.Handle"] = vt.spawn(function() end),
        ["vt.Cells"] = cells, ["vt.Candidate"] = candidate, ["vt.Group"] = group, ["vt.Sample"] = group[1],
        ["vt.Learner"] = learner, ["vt.Archive"] = vt.archive {}, ["vt.Experiment"] = vt.load "experiments/boa.lua" }
      for class, object in pairs(objects) do
        local methods, fields = described_fields(class)
        expect.equal(missing(getmetatable(object).methods, methods), "", class .. " lacks in meta")
        expect.equal(missing(methods, getmetatable(object).methods), "", class .. " lacks in code")
        for name in pairs(fields) do
          local ok, e = pcall(function() return object[name] end)
          expect.truthy(ok, ("%s.%s: %s; that it can be read"):format(class, name, tostring(e)))
        end
      end
      for class in classes() do
        local methods = described_fields(class)
        if next(methods) then expect.truthy(objects[class], class .. " among the objects above") end
      end
    end, nil, { experiment = { params = require("vegttt").adapt_params() } })
  end)

  it("is all that experiments use", function()
    for _, folder in ipairs { "experiments", "experiments/corpus" } do
      for _, name in ipairs(core.list(folder)) do
        local source = name:find "%.lua$" and core.read(folder .. "/" .. name) or ""
        expect.equal(source:match "require%s*%(?%s*[\"'](vegttt%.[^\"']*)", nil, name .. " requires")
      end
    end
  end)

  at_end("every function and method is called by some test on the real engine", function()
    local names = described()
    for class in classes() do
      for method in pairs((described_fields(class))) do names[class .. ":" .. method] = true end
    end
    names["vt.select.rules"], names["vt.select.order"] = nil, nil -- tables
    expect.equal(missing(names, support.covered), "")
  end)
end)
