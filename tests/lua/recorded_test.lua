-- SPDX-License-Identifier: Apache-2.0
--
-- What is read back equals what was drawn: every method and field of a group, a sample, a verdict, a prompt and weights
-- is asked of both kinds, and a run over recorded ones trains the same weights.
local core = require "vegttt.core"
local support = require "support"

local boa = support.file "experiments/boa.lua"

-- fn(dir, root, files): a finished run of boa with three snapshots, in the folder root.
local function with_run(fn)
  support.in_folder(function(root)
    local files = support.task_files(root)
    local r = support.run(boa, { k = 6, steps = 2, lr = 0.003, temperature = 1.0, tasks = { files.same, files.negated } },
      { root = root .. "/runs" })
    fn(r.run.dir, root, files)
  end)
end

local function within(root, fn)
  return support.run(support.main(function(_, p, vt, m) return fn(vt, p, m) or {} end, { name = "reader" }), nil,
    { root = root .. "/runs" })
end

local function as_text(v)
  local ok, text = pcall(core.json_encode, v)
  return ok and text or tostring(v)
end

describe("a recorded group", function()
  it("has every field and method of the live one", function()
    support.in_folder(function(root)
      local files = support.task_files(root)
      local function ask(g, w, m)
        local p, s, out = g.prompt, g[1], {}
        local calls = {
          ["vt.Verdict"] = { feedback = function(v) return v:feedback { max_chars = 300 } end },
          ["vt.Prompt"] = { messages = function(x) return x:messages(w.model.record) end },
          ["vt.Weights"] = { resample = function(x) return x:resample(s, 1, { n = 1, draw = "from one" })[1].text end,
            score = function(x) return x:score(p, s.tokens) end,
            top = function(x) return x:top(p, s.tokens, 2).ids end,
            sample = function(x) return x:sample(p, { n = 1, draw = "again" })[1].text end,
            save = function(x) return x:save(root .. "/saved") end },
          ["vt.Group"] = {}, ["vt.Sample"] = {},
        }
        for _, object in ipairs { s.result, p, w, g, s } do
          local class = getmetatable(object)
          for name in pairs(class.methods) do
            expect.truthy(calls[class.__name][name], ("a call of %s:%s"):format(class.__name, name))
          end
          for name, call in pairs(calls[class.__name]) do
            if not (name == "save" and w == w.model.base) then out[class.__name .. ":" .. name] = as_text(call(object)) end
          end
        end
        local differ = { recorded = true, run = true, dropped = true, seen = true, step = true, weights = true,
          prompt = true, task = true, result = true, handle = true, at = true, text_sha = true }
        for _, object in ipairs { g, s } do
          local class = getmetatable(object)
          for name in pairs(class.fields) do
            if not differ[name] then out[class.__name .. "." .. name] = as_text(object[name]) end
          end
          out[class.__name .. ".weights"], out[class.__name .. ".task"] = object.weights.id, object.task.digest
          out[class.__name .. ".prompt"] = as_text(m.policy.prompt_tokens(w.model, object.prompt, "test"))
        end
        return out
      end
      local live, back, dir
      support.run(support.main(function(run, p, vt, m)
        local w = vt.policy(p.model):branch(vt.policy(p.model):start())
        local task = vt.tasks({ ids = files.same })[1]
        local prompt = vt.context(task:prompt { system = "Be quick." }):add("Note", "No loops."):ask "Now write."
        local g = vt.eval.all(w:start():sample(prompt, { n = 4, temperature = 1.0, prefix = "```c\n" }))
        for i, s in ipairs(g) do s.reward, s.advantage = i, i - 2.5 end
        vt.batch(g)
        g.prompt.prefix = "```c\n"
        live, dir = ask(g, g.weights, m), run.dir
        return {}
      end), nil, { root = root .. "/runs" })
      within(root, function(vt, _, m)
        local g = vt.find(vt.rollouts(dir), function(x) return x.draw == "main" end)
        back = ask(g, g.weights, m)
      end)
      for name, v in pairs(live) do expect.equal(back[name], v, name) end
    end)
  end)

  it("trains the same weights as it did when it was live, and its context can be added to", function()
    with_run(function(dir, root)
      local id = {}
      core.read_lines(dir .. "/journal.jsonl", function(line)
        local step = line.key:match "^snapshot/step(%d)"
        if step then id[tonumber(step)] = line.value.id end
      end)
      within(root, function(vt, p, m)
        local first = vt.filter(vt.rollouts(dir), function(g) return g.step == 0 and g.draw == "main" end)
        expect.equal(#first, 2)
        local policy = vt.policy(p.model)
        local report = policy:branch(vt.weights(dir .. "@step0")):update(vt.batch(first), { lr = 0.003, floor = -1 })
        expect.equal(report.weights.id, id[1])
        local longer = vt.context(first[1].prompt):add("Hint", "Be brief."):ask "Again."
        expect.truthy(#m.policy.prompt_tokens(policy.model, longer, "t") > #first[1].prompt_ids, "a longer prompt")
        expect.equal(vt.stats.rate(first, "correct").n, 2)
      end)
    end)
  end)
end)

describe("recorded weights", function()
  it("are found by folder, by the beginning of a stamp and as latest, the start weights too, and train on", function()
    with_run(function(dir, root)
      local steps = {}
      within(root, function(vt, p)
        for step = 0, 2 do
          local w = vt.weights(dir .. "@step" .. step)
          expect.equal(w.step, step)
          steps[step] = w
        end
        expect.equal(steps[0].id, vt.policy(p.model):start().id)
        expect.truthy(steps[1].model == steps[0].model and steps[2].model == steps[0].model, "one model for all")
        expect.raises("it has step0, step1, step2", vt.weights, dir .. "@step7")
        local batch = vt.batch(vt.filter(vt.rollouts(dir), function(g) return g.step == 1 end))
        for _, s in ipairs(batch.seqs) do expect.truthy(s.advantage) end
        local branch = vt.policy(p.model):branch(steps[2])
        local report = branch:update(batch, { lr = 0.003 })
        expect.equal(branch:snapshot().id, report.weights.id)
        expect.truthy(report.weights.id ~= steps[2].id, "other weights")
        expect.raises("same model", function() vt.policy(p.model):branch { id = "x" } end)
      end)
    end)
  end)
end)

describe("vt.runs", function()
  it("gives parameters, summary, tables and the cells of a sweep, and is an input", function()
    support.in_folder(function(root)
      local cell = [[
        local vt = require "vegttt"
        return vt.experiment { name = "cell", doc = "", params = { x = { 1, "x" }, name = { "a, \"b\"", "text" } },
          main = function(run, p)
            local t = run:table("t", { "x", "square", "what" })
            t:row(p.x, p.x * p.x, p.name)
            t:row(p.x + 1, nil, "two\nlines")
            return { square = p.x * p.x }
          end }]]
      core.write(root .. "/cell.lua", cell)
      local sweep = support.main(function(run, _, vt)
        return { n = #run:sweep(vt.load(root .. "/cell.lua"), vt.grid { x = { 3, 4 } }) }
      end, { name = "outer" })
      support.run(sweep, nil, { root = root .. "/runs" })
      local seen
      local reader = support.main(function(_, _, vt)
        local runs = vt.runs(root .. "/runs/cell/*")
        seen = { n = #runs }
        local squares = {}
        for _, r in ipairs(runs) do squares[#squares + 1] = r.summary.square end
        table.sort(squares)
        expect.same(squares, { 9, 16 })
        local r = vt.find(runs, function(x) return x.params.x == 3 end)
        expect.equal(r.status, "finished")
        expect.equal(r.experiment, "cell")
        expect.equal(r.tables.t[1].square, 9)
        expect.equal(r.tables.t[1].what, 'a, "b"')
        expect.equal(r.tables.t[2].square, nil)
        expect.equal(r.tables.t[2].what, "two\nlines")
        expect.raises("did you mean 'square'", function() return r.tables.t[1].sqare end)
        expect.raises("the run's params has no 'nme'; did you mean 'name'?", function() return r.params.nme end)
        expect.raises("the run's summary has no 'sqare'; did you mean 'square'?", function() return r.summary.sqare end)
        expect.raises("did you mean 'summary'", function() return r.sumary end)
        return { n = #runs }
      end, { name = "reader" })
      expect.equal(support.run(reader, nil, { root = root .. "/runs" }).value.n, 2)
      expect.truthy(support.run(reader, nil, { root = root .. "/runs" }).is_stored, "the second asking")
      support.run(support.main(function(run, _, vt)
        return { n = #run:sweep(vt.load(root .. "/cell.lua"), vt.grid { x = { 5 } }) }
      end, { name = "outer2" }), nil, { root = root .. "/runs" })
      core.write(root .. "/none", "")
      local again = support.execute(reader, nil, { root = root .. "/runs" })
      expect.truthy(not again.is_stored and seen.n == 3, "another run after a new cell")
    end)
  end)
end)

describe("statistics", function()
  it("have an interval, n and method, and p where something is tested", function()
    support.inside(function(_, _, vt)
      local x, y = { 1, 2, 3, 4, 5, 6, 7, 8 }, { 2, 1, 4, 3, 6, 5, 8, 7 }
      local r = vt.stats.spearman(x, y)
      expect.near(r.value, 1 - 6 * 8 / (8 * 63)) -- eight differences of one
      expect.truthy(r.lo < r.value and r.value <= r.hi and r.lo > 0, ("the interval %g to %g"):format(r.lo, r.hi))
      expect.truthy(r.p < 0.01 and r.p > 0, "p")
      local none = vt.stats.spearman(x, { 4, 7, 1, 6, 2, 8, 3, 5 })
      expect.truthy(none.p > 0.5 and none.lo < 0 and none.hi > 0, "no relation")
      expect.equal(none.p, vt.stats.spearman(x, { 4, 7, 1, 6, 2, 8, 3, 5 }).p)
      expect.raises("are no pairs", vt.stats.spearman, x, { 1 })
      local t = vt.stats.sign_test(9, 1)
      expect.truthy(t.lo > 0 and t.lo < 8 and t.hi > 8 and t.hi <= 10, "nine against one")
      local one = vt.stats.mean_ci { 3 }
      expect.truthy(one.lo == nil and one.n == 1, "one value has no interval")
    end)
  end)
end)

describe("a recorded sample", function()
  it("has the text and the code that it had when it was drawn, whatever bytes the model says", function()
    support.in_folder(function(root)
      local dir, texts, codes = nil, {}, {}
      local live = support.run(support.main(function(run, _, vt)
        dir = run.dir
        local g = vt.policy("tests/golden/tiny/chat"):start():sample(vt.tasks({ ids = "28" })[1]:prompt(),
          { n = 12, temperature = 5, max_tokens = 8 })
        for i, s in ipairs(g) do texts[i], codes[i] = s.text, s.code or false end
        return {}
      end), nil, { root = root, name = "live" })
      expect.equal(live.status, "done")
      expect.truthy(table.concat(texts):find("\u{fffd}", 1, true), "no sample had bytes that are not UTF-8: this proves nothing")
      support.run(support.main(function(_, _, vt)
        for i, s in ipairs(vt.rollouts(dir)[1]) do
          expect.equal(s.text, texts[i])
          expect.equal(s.code or false, codes[i])
        end
        return {}
      end), nil, { root = root, name = "again" })
    end)
  end)
end)
