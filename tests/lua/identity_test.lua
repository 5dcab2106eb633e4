-- SPDX-License-Identifier: Apache-2.0
--
-- What a run is: the same question gets the recorded answer, and anything that could change the answer makes another run
-- beside it. Scripts are files here, as users have them; each case changes one input and looks which number comes back.
local core = require "vegttt.core"
local support = require "support"

local main_path = package.path

-- ask(name, given, o): runs the script ROOT/name.lua; write(name, text) makes one. Modules are found beside it and are
-- loaded anew, as in a new process.
local function in_folder(fn)
  support.in_folder(function(root)
    package.path = root .. "/?.lua;" .. main_path
    local function write(name, text) core.write(root .. "/" .. name, text) end
    local function script(name, body, more)
      write(name, ('local vt = require "vegttt"\n%s\nreturn vt.experiment { name = "asked", doc = "", %s }\n'):format(
        more or "", body))
    end
    local function ask(name, given, o)
      for _, module in ipairs { "helper", "deeper" } do package.loaded[module] = nil end
      o = o or {}
      o.root = o.root or root .. "/runs"
      return support.execute(support.file(root .. "/" .. name), given, o)
    end
    local ok, e = xpcall(fn, debug.traceback, ask, script, write, root)
    package.path = main_path
    if not ok then error(e, 0) end
  end)
end

local function returns(n) return ("main = function() return { value = %s } end"):format(n) end

-- Asks, changes something, asks again, changes it back, asks once more: two runs, and the first answers in the end.
local function other_and_back(ask, name, first, second, change, back, o)
  local a = ask(name, nil, o)
  expect.equal(a.value.value, first)
  expect.truthy(ask(name, nil, o).is_stored, "asked again without a change: the recorded answer")
  change()
  local b = ask(name, nil, o)
  expect.equal(b.value.value, second)
  expect.truthy(b.run.dir ~= a.run.dir, "another run")
  back()
  local c = ask(name, nil, o)
  expect.equal(c.value.value, first)
  expect.truthy(c.is_stored and c.run.dir == a.run.dir, "the first run answers again")
  return a, b
end

describe("another run is made of", function()
  it("another text of the script, and the first text gives the first answer", function()
    in_folder(function(ask, script)
      script("s.lua", returns(1))
      local _, b = other_and_back(ask, "s.lua", 1, 2, function() script("s.lua", returns(2)) end,
        function() script("s.lua", returns(1)) end)
      expect.contains(b.run:news(), "the script")
    end)
  end)

  it("another file that gives its experiment the same name, but not of a file that was only moved", function()
    in_folder(function(ask, script)
      script("a.lua", returns(1))
      script("b.lua", returns(2))
      local a = ask "a.lua"
      expect.equal(ask("b.lua").value.value, 2)
      script("c.lua", returns(1))
      expect.equal(ask("c.lua").run.dir, a.run.dir)
    end)
  end)

  it("a module, one that a module requires, and one that is required while the run runs", function()
    in_folder(function(ask, script, write)
      write("helper.lua", "return require 'deeper'")
      script("s.lua", "main = function() return { value = helper.value } end", 'local helper = require "helper"')
      script("late.lua", 'main = function() return { value = require("helper").value } end')
      for _, name in ipairs { "s.lua", "late.lua" } do
        write("deeper.lua", "return { value = 1 }")
        local _, b = other_and_back(ask, name, 1, 2, function() write("deeper.lua", "return { value = 2 }") end,
          function() write("deeper.lua", "return { value = 1 }") end)
        expect.contains(b.run:news(), "the module deeper changed")
      end
    end)
  end)

  it("an experiment that it loads and sweeps", function()
    in_folder(function(ask, script, write, root)
      local function inner(n)
        write("inner.lua", ('return require "vegttt".experiment { name = "inner", params = { x = { 1, "x" } }, '
          .. "main = function(_, p) return { v = p.x * %d } end }"):format(n))
      end
      inner(10)
      script("s.lua", ([[main = function(run)
        return { value = run:sweep(vt.load %q, vt.grid { x = { 3 } })[1].v }
      end]]):format(root .. "/inner.lua"))
      other_and_back(ask, "s.lua", 30, 60, function() inner(20) end, function() inner(10) end)
    end)
  end)

  it("a file that it reads, a file that was not there, and what a cell of its sweep reads", function()
    in_folder(function(ask, script, write, root)
      local reads = {
        [[local f = io.open(%q); local t = f and f:read "a" or "0"; if f then f:close() end; return { value = tonumber(t) }]],
        [[local ok, l = pcall(io.lines, %q); return { value = ok and tonumber(l()) or 0 }]],
        [[local _, why = loadfile(%q); return { value = why:find "unexpected symbol" and 5 or 0 }]],
      }
      for _, text in ipairs(reads) do
        local path = root .. "/data"
        core.remove(path)
        script("s.lua", "main = function() " .. text:format(path) .. " end")
        other_and_back(ask, "s.lua", 0, 5, function() write("data", "5") end, function() core.remove(path) end)
        write("inner.lua", 'return require "vegttt".experiment { name = "inner", params = { x = { 1, "x" } }, '
          .. "main = function() " .. text:format(path) .. " end }")
        script("t.lua", ("main = function(run) return { value = run:sweep(vt.load %q, { { x = 1 } })[1].value } end"):format(
          root .. "/inner.lua"))
        other_and_back(ask, "t.lua", 0, 5, function() write("data", "5") end, function() core.remove(path) end)
      end
    end)
  end)

  it("but not of a file that the run wrote itself", function()
    in_folder(function(ask, script, _, root)
      script("s.lua", ([[main = function(run)
        local name = %q
        local f = io.open(name, "w"); f:write "own"; f:close()
        return { value = #io.lines(name)() > 0 and 1 }
      end]]):format(root .. "/out"))
      ask "s.lua"
      expect.truthy(ask("s.lua").is_stored, "the second asking")
    end)
  end)

  it("recorded rollouts that became more", function()
    in_folder(function(ask, script, _, root)
      local files = support.task_files(root .. "/tasks")
      local function draw(k)
        support.run(support.file "experiments/best_of_n.lua", { k = k, tasks = { files.same }, temperature = 1.0 },
          { root = root .. "/drawn" })
      end
      draw(2)
      script("s.lua", ("main = function() return { value = #vt.rollouts(%q) } end"):format(root .. "/drawn/best_of_n/*"))
      expect.equal(ask("s.lua").value.value, 1)
      expect.truthy(ask("s.lua").is_stored, "the second asking")
      draw(3)
      expect.equal(ask("s.lua").value.value, 2)
    end)
  end)

  it("a task file, and its name says which", function()
    in_folder(function(ask, script, write, root)
      local files = support.task_files(root .. "/tasks")
      script("s.lua", ("main = function() return { value = #vt.tasks { ids = %q }[1].body } end"):format(files.same))
      local text = core.read(files.same)
      local n = ask("s.lua").value.value
      local _, b = other_and_back(ask, "s.lua", n, n + 1,
        function() write("tasks/same.lua", (text:gsub("s %* 0.5f", "s  * 0.5f"))) end,
        function() write("tasks/same.lua", text) end)
      expect.contains(b.run:news(), "tasks/same.lua changed")
    end)
  end)

  it("another adapter under the same name", function()
    in_folder(function(ask, script, _, root)
      local files = support.task_files(root .. "/tasks")
      local r = support.run(support.file "experiments/boa.lua", { k = 4, steps = 2, lr = 0.003, temperature = 1.0,
        tasks = { files.same } }, { root = root .. "/trained" })
      local id = {}
      core.read_lines(r.run.dir .. "/journal.jsonl", function(line)
        local step = line.key:match "^snapshot/step(%d)"
        if step then id[tonumber(step)] = line.value.id end
      end)
      local function use(step)
        core.remove(root .. "/adapter")
        core.link_folder(r.run.dir .. "/ckpt/" .. id[step], root .. "/adapter")
      end
      use(1)
      script("s.lua", ("main = function() return { value = vt.policy(%q):start().id } end"):format(
        support.model() .. "+" .. root .. "/adapter"))
      local first = ask("s.lua").value.value
      use(2)
      local second = ask("s.lua").value.value
      expect.truthy(first ~= second, "the weights of another adapter")
      use(1)
      other_and_back(ask, "s.lua", first, second, function() use(2) end, function() use(1) end)
    end)
  end)
end)

describe("a result", function()
  it("stays what it was when the script is broken, and when it is mended", function()
    in_folder(function(ask, script)
      local body = [[main = function(run) local t = run:table("t", { "x" }); t:row(%s); return { value = %s } end]]
      script("s.lua", body:format(7, 7))
      local a = ask "s.lua"
      script("s.lua", body:format(8, "nothing.here"))
      expect.equal(ask("s.lua").status, "failed")
      expect.contains(core.read(a.run.dir .. "/tables/t.csv"), "7")
      expect.contains(core.read(a.run.dir .. "/summary.json"), '"value":7')
      script("s.lua", body:format(9, 9))
      expect.equal(ask("s.lua").value.value, 9)
      script("s.lua", body:format(7, 7))
      local again = ask "s.lua"
      expect.truthy(again.is_stored and again.value.value == 7, "the first result")
      expect.equal(again.tables.t, a.tables.t)
    end)
  end)

  it("is there for each k that was asked for, and a larger k pays for the difference", function()
    support.in_folder(function(root)
      local files = support.task_files(root)
      local function ask(k)
        return support.run(support.file "experiments/best_of_n.lua", { k = k, tasks = { files.same }, temperature = 1.0 },
          { root = root })
      end
      local four, eight = ask(4), ask(8)
      expect.equal(eight.counts.n_samples, 4)
      local again = ask(4)
      expect.truthy(again.is_stored, "the third asking")
      expect.equal(again.run.dir, four.run.dir)
      expect.same(again.tables, four.tables)
      expect.contains(eight.run:news(), "k was 4")
    end)
  end)
end)

describe("a run that has much in common with another", function()
  local function with_script(fn)
    in_folder(function(ask, script, _, root)
      local files = support.task_files(root .. "/tasks")
      local body = [[params = vt.params { lr = { 0.1, "unused" } }, main = function(run, p)
        local g = vt.eval.all(vt.policy(p.model):start():sample(vt.tasks { ids = %q }[1]:prompt(),
          { n = 8, temperature = 1.0 }))
        return { value = %d + #g, correct = #vt.filter(g, function(s) return s.result.correct end) }
      end]]
      fn(ask, function(n) script("s.lua", body:format(files.same, n)) end)
    end)
  end

  local function timed_in(r)
    local out = {}
    for _, line in ipairs(support.lines(r, "evals.jsonl")) do out[#out + 1] = line.timed_in or "here" end
    return out
  end

  it("samples and measures nothing again after an edit, and says whose clock it was", function()
    with_script(function(ask, edit)
      edit(100)
      local a = ask "s.lua"
      edit(200)
      local b = ask "s.lua"
      expect.equal(b.value.value, 208)
      expect.equal(b.value.correct, a.value.correct)
      expect.equal(b.counts.n_samples + b.counts.n_evals, 0)
      expect.equal(b.meter.spent.evaluations, 0)
      expect.equal(b.meter.charged.evaluations, 8)
      for _, dir in ipairs(timed_in(b)) do expect.equal(dir, a.run.dir) end
      edit(300)
      for _, dir in ipairs(timed_in(ask "s.lua")) do expect.equal(dir, a.run.dir) end
      for _, dir in ipairs(timed_in(a)) do expect.equal(dir, "here") end
    end)
  end)

  it("takes verdicts from another cell's run, none as a replicate, and none when it is fresh", function()
    with_script(function(ask, edit)
      edit(100)
      local a = ask("s.lua", { lr = 0.2 })
      local b = ask("s.lua", { lr = 0.3 })
      expect.truthy(#timed_in(b) > 0)
      for _, dir in ipairs(timed_in(b)) do expect.equal(dir, a.run.dir) end
      local c = ask("s.lua", { lr = 0.2 }, { replicate = 1 })
      edit(200)
      local d = ask("s.lua", { lr = 0.2 }, { replicate = 1 })
      for _, r in ipairs { c, d } do
        for _, dir in ipairs(timed_in(r)) do expect.equal(dir, "here") end
      end
      expect.equal(d.counts.n_samples, 0)
      local e = ask("s.lua", { lr = 0.2 }, { fresh = true })
      expect.equal(e.counts.n_samples, 8)
      for _, dir in ipairs(timed_in(e)) do expect.equal(dir, "here") end
    end)
  end)

  it("does not go on with the directory of a killed one whose inputs changed, but takes what that has", function()
    with_script(function(ask, edit)
      edit(100)
      local killed = ask("s.lua", nil, { kill_at = 3 })
      expect.equal(killed.status, "killed")
      edit(200)
      local b = ask "s.lua"
      expect.equal(b.value.value, 208)
      expect.truthy(b.run.dir ~= killed.run.dir, "another directory")
      expect.equal(killed.counts.n_samples + b.counts.n_samples, 8)
      edit(100)
      local c = ask "s.lua"
      expect.equal(c.run.dir, killed.run.dir)
      expect.equal(c.value.value, 108)
      expect.equal(c.counts.n_samples, 0)
    end)
  end)
end)
