-- SPDX-License-Identifier: Apache-2.0
--
-- Options that would change nothing are refused: each script declares the parameters that it reads, and no others. Reads are
-- counted while each script runs on the small tasks, in as many ways as it takes to need all of them; a parameter that no
-- way reads is one that somebody could set and believe in.
local core = require "vegttt.core"
local experiments = require "support_experiments"
local support = require "support"

local in_folder = experiments.in_folder

-- Values that are read through: what is read of them, by p.name or by rawget, is noted in `seen`.
local raw = rawget
local values_of = setmetatable({}, { __mode = "k" })

local function watched(values, seen)
  local p = setmetatable({}, { __name = "vt.Record", fields = getmetatable(values).fields, __index = function(_, k)
    seen[k] = true
    return values[k]
  end })
  values_of[p] = { values = values, seen = seen }
  return p
end

local function reading(t, k)
  local of = values_of[t]
  if not of then return raw(t, k) end
  of.seen[k] = true
  return raw(of.values, k)
end

-- The script with main and plan given such values, by a rawget and a vt.is_given that know them.
local function read_by(name, given, root, seen)
  local r = support.execute(function(vt, m)
    core.globals.rawget = reading
    local is_given = vt.is_given
    vt.is_given = function(p, what) return is_given(values_of[p] and values_of[p].values or p, what) end
    local e = m.experiment.load(("experiments/%s.lua"):format(name))
    local main = e.main
    e.main = function(run, p) return main(run, watched(p, seen)) end
    return e
  end, given, { root = root .. "/runs" })
  core.globals.rawget = raw
  if r.status ~= "done" then error(("%s: %s"):format(name, tostring(r.value)), 0) end
  return r
end

local function with(given, more)
  local out = {}
  for k, v in pairs(given) do out[k] = v end
  for k, v in pairs(more or {}) do out[k] = v end
  return out
end

-- Ways to run each script; what it writes is read by those after it. `from` is filled in.
local small, tiny = { k = 4, temperature = 1.0 }, { k = 2, temperature = 1.0, steps = 1, lr = 0.003 }
local pull = with(tiny, { kl = 0.1, anchor = "ema" })
local ways = {
  { "best_of_n", with(small, { k = 16 }) }, { "boa", pull }, { "isolated", pull },
  { "sdpo", with(tiny, { teacher = "ema", loss = "topk", reads = true }) },
  { "rlvr", with(pull, { batch = 1, eval_every = 1, min_correct = 0.0 }) }, { "budget", with(pull, { total = 4 }) },
  { "discover", with(pull, { groups = 1 }) }, { "predict", with(pull, { k = 4 }) }, { "refine", with(small, { turns = 2 }) },
  { "power", { k = 2, moves = 1 } }, { "lr_sweep", with(tiny, { lr = { 1e-4 } }) },
  { "ablations", { which = "k", values = { 2 }, steps = 0, temperature = 1.0 } }, { "ablations", { which = "temperature", values = { 1.0 }, k = 2, steps = 0 } }, { "ablations", { which = "k", scale = 0.02, steps = 0, temperature = 1.0 } },
  { "selection", with(small, { detail = true }), { from = "best_of_n" } }, { "presort", small, { from = "best_of_n" } },
  { "variance", small, { from = "best_of_n" } }, { "protocols", with(small, { k = 16, most = 2 }), { from = "best_of_n" } },
  { "shapes", with(small, { factors = { 0.7 } }), { from = "best_of_n" } },
}

local of_engine = { preset = true, seed = true } -- which the run itself reads

-- curriculum names its batches, transfer and nll_probe a run, paper all runs.
local function more_ways(files, boa)
  return { { "curriculum", with(pull, { batches = files.same .. ";" .. files.negated }) }, { "transfer", with(small, { from = boa .. "@step1" }) },
    { "nll_probe", { from = boa, steps = "0" } } }
end

describe("every declared parameter", function()
  it("of every script is read", function()
    in_folder(function(root, files)
      local seen, dirs = {}, {}
      local function go(name, given)
        given = with(given, given.tasks == nil and name ~= "curriculum" and name ~= "nll_probe" and not (given.from and name ~= "transfer")
          and { tasks = { files.same } } or nil)
        if given.reads then given.model, given.reads = support.model(true), nil end
        if name == "rlvr" then given.eval_tasks = { files.negated } end
        seen[name] = seen[name] or {}
        dirs[name] = read_by(name, given, root, seen[name]).run.dir
      end
      for _, way in ipairs(ways) do
        go(way[1], way[2])
        if way[3] and way[3].from then go(way[1], { from = dirs[way[3].from], step = 0 }) end
      end
      for _, way in ipairs(more_ways(files, dirs.boa)) do go(way[1], way[2]) end
      local unread, n = {}, 0
      support.inside(function(_, _, vt)
        for name, read in vt.sorted_pairs(seen) do
          for parameter in vt.sorted_pairs(vt.load(("experiments/%s.lua"):format(name)).params) do
            n = n + 1
            if not read[parameter] and not of_engine[parameter] then unread[#unread + 1] = name .. " --" .. parameter end
          end
        end
      end)
      expect.truthy(n > 300, "parameters were looked at")
      expect.equal(table.concat(unread, "\n"), "")
    end)
  end)
end)

describe("an option beside which another does nothing", function()
  local function refused(name, given, says)
    local ok, e = pcall(support.execute, support.file(("experiments/%s.lua"):format(name)), given, { root = support.folder() })
    local text = ok and tostring(e.value) or tostring(e)
    expect.truthy(not ok or e.status == "failed", name)
    expect.contains(text, says)
    if ok then expect.equal(e.run.meter.spent.rollouts, 0) end
  end

  it("is refused by both names: how samples are drawn, beside recorded ones", function()
    for _, x in ipairs { { "tasks", { "19" } }, { "max_tasks", 1 }, { "k", 3 }, { "eval", "full" }, { "temperature", 0.5 }, { "preset", "paper-a" } } do
      refused("selection", { from = "runs/x", [x[1]] = x[2] }, ("--%s does not go with --from"):format(x[1]))
    end
    refused("variance", { step = 1 }, "--step is only read beside --from")
  end)

  it("is refused by name where a script does not read it", function()
    for _, name in ipairs { "null", "reward", "advantage", "entropy", "kl", "anchor" } do
      refused("sdpo", { [name] = 1 }, ("there is no parameter '%s'"):format(name))
    end
    for _, name in ipairs { "budget", "discover", "curriculum", "predict" } do refused(name, { patience = 1 }, "there is no parameter 'patience'") end
    refused("power", { temperature = 0.5 }, "there is no parameter 'temperature'")
  end)

  it("is refused where an ablation varies it, or does not scale", function()
    refused("ablations", { which = "temperature", temperature = 0.5 }, "--temperature does not go with --which temperature, which varies it")
    refused("ablations", { which = "grid", k = 4 }, "--k does not go with --which grid")
    refused("ablations", { which = "grid", values = { 1 } }, "--values does not go with --which grid")
    refused("ablations", { which = "k", values = { 4 }, scale = 0.5 }, "--scale does not go with --values")
    refused("ablations", { scale = 0.5 }, "--scale does not go with --which temperature")
  end)

  it("is the ablation's own values where it takes some", function()
    in_folder(function(root, files)
      local given = { which = "k", values = { 3, 5 }, steps = 0, tasks = { files.same } }
      local t = experiments.rows(experiments.run("ablations", given, root), "cells")
      expect.equal(t[1].k, 3)
      expect.equal(t[2].k, 5)
      expect.equal(t[2].rollouts, 5)
    end)
  end)
end)

describe("a rule file that cannot work", function()
  local bad = {
    { "one candidate of another group", 'local keep return { name = "x", pick = function(cs) keep = keep or cs[1] return keep end }', "not one of its candidates" },
    { "nothing of larger groups", 'return { name = "x", pick = function(cs) if #cs > 5 then return nil end return cs[1] end }', "returned a nil" },
    { "a shipped rule's name", 'return { name = "surprisal", pick = function(cs) return cs[1] end }', "'surprisal', and so is a rule that is shipped" },
    { "no name", "return { pick = function(cs) return cs[1] end }", "gives no rule" },
    { "an error", 'error "boo"', "boo" },
  }

  it("is refused in one sentence before anything is drawn, and two functions are told apart by their files", function()
    in_folder(function(root, files)
      local function go(rules)
        local given = { k = 4, tasks = { files.same }, rules = rules, curves = { "random" }, temperature = 1.0 }
        return support.execute(support.file "experiments/selection.lua", given, { root = root .. "/runs" })
      end
      for _, x in ipairs(bad) do
        core.write(root .. "/bad.lua", x[2])
        local r = go { root .. "/bad.lua" }
        expect.equal(r.status, "failed")
        expect.contains(tostring(r.value), x[3])
        expect.equal(r.value.kind, "usage", x[1])
        expect.truthy(not tostring(r.value):find "\n", tostring(r.value))
        expect.equal(r.run.meter.spent.rollouts, 0, x[1])
      end
      core.write(root .. "/head.lua", "return function(cs) return cs[1] end")
      core.write(root .. "/tail.lua", "return function(cs) return cs[#cs] end")
      core.mkdir(root .. "/other")
      core.write(root .. "/other/head.lua", "return function(cs) return cs[1] end")
      expect.contains(tostring(go({ root .. "/head.lua", root .. "/other/head.lua" }).value), "rename one")
      expect.equal(go({ root .. "/head.lua", root .. "/tail.lua" }).status, "done")
    end)
  end)
end)

describe("max_at_k by name", function()
  it("follows a group that is smaller than 8, whose best alone raises the maximum", function()
    in_folder(function(root, files)
      expect.equal(experiments.run("boa", { k = 4, steps = 1, redraw = false, lr = 0.003, advantage = "max_at_k", tasks = { files.same } }, root).status, "done")
      support.inside(function(_, _, vt)
        local g = { { tokens = { 1 }, reward = 1 }, { tokens = { 1 }, reward = 4 }, { tokens = { 1 }, reward = 2 } }
        vt.advantage.max_at_k {} { g }
        expect.equal(g[1].advantage, 0)
        expect.equal(g[2].advantage, 2)
        expect.equal(g[3].advantage, 0)
      end)
    end)
  end)

  it("is text: bytes that a file cannot tell apart are refused, by whatever way they come", function()
    in_folder(function(root)
      for _, text in ipairs { "\xe9", "\xc3", "a\0b", "\xed\xa0\x80" } do
        for _, way in ipairs { "given", "default", "cell" } do
          expect.raises("no text", function()
            local e = support.main(function(run, _, vt)
              if way ~= "cell" then return {} end
              local leaf = vt.experiment { name = "leaf", doc = "", params = { s = { "t", "a text" } }, main = function() return {} end }
              run:sweep(leaf, { { s = text } })
            end, { params = { s = { way == "default" and text or "t", "a text", extend = true } } })
            local r = support.run(e, way == "given" and { s = text } or nil, { root = root })
            if r.status ~= "done" then error(r.value, 0) end
          end)
        end
      end
      expect.equal(core.utf8 "h\u{e9} \u{1F600}\n", "h\u{e9} \u{1F600}\n")
      expect.equal(core.utf8 "a\xe9b\0c", "a\u{fffd}b\u{fffd}c")
    end)
  end)
end)
