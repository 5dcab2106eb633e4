-- SPDX-License-Identifier: Apache-2.0
-- The level-1 task files as files: plain data, complete, in the common subset of C and C++, short enough for a prompt.
local core = require "vegttt.core"

local banned = { "double", "static", "malloc", "goto", "alloca", "asm", "volatile", "printf" }
local names = core.embedded "tasks/l1/"
local files = {}
for _, name in ipairs(names) do
  if name:find "%.lua$" then
    local f = assert(io.open("lua/" .. name))
    files[#files + 1] = { name = name, text = f:read "a" }
    f:close()
  end
end

local function task_of(file) return assert(load(file.text, file.name, "t", {}))() end

local function plain(v, path)
  local kind = type(v)
  if kind == "table" then
    expect.equal(getmetatable(v), nil, path)
    for k, x in pairs(v) do plain(x, path .. "." .. tostring(k)) end
  else
    expect.truthy(kind == "string" or kind == "number" or kind == "boolean", path .. " being " .. kind)
  end
end

describe("level-1 task files", function()
  it("number 100, one for each problem, named by their id", function()
    expect.equal(#files, 100)
    local seen = {}
    for _, file in ipairs(files) do
      local t = task_of(file)
      expect.contains(file.name, ("%03d_%s.lua"):format(t.id, t.name))
      expect.equal(tonumber(t.title:match "^%d+"), t.id)
      expect.equal(seen[t.id], nil, file.name)
      seen[t.id] = true
    end
  end)

  it("are plain data that loads without any global", function()
    for _, file in ipairs(files) do plain(task_of(file), file.name) end
  end)

  it("give the same sizes at every scale, named in size_order", function()
    for _, file in ipairs(files) do
      local t = task_of(file)
      for _, scale in ipairs { "cpu", "hidden", "search", "full" } do
        local n = 0
        for _ in pairs(t.sizes[scale]) do n = n + 1 end
        expect.equal(n, #t.size_order, file.name .. " " .. scale)
        for _, size in ipairs(t.size_order) do
          expect.equal(math.type(t.sizes[scale][size]), "integer", file.name .. " " .. scale .. " " .. size)
        end
      end
    end
  end)

  it("keep their bodies within the common subset and their lines within 120 columns", function()
    for _, file in ipairs(files) do
      local t = task_of(file)
      for word in (t.body .. " " .. t.tuned):gmatch "[%a_][%w_]*" do
        for _, bad in ipairs(banned) do expect.truthy(word ~= bad, file.name .. " without " .. bad) end
      end
      for line in file.text:gmatch "[^\n]+" do -- a launch of a plan is one line, however long
        expect.truthy(#line <= 120 or line:find "^// launch ", ("%s: %d columns"):format(file.name, #line))
      end
    end
  end)

  it("start every input's list with the benchmark's own kind and add others", function()
    local own = { uniform = true, scaled = true, probs = true, labels = true, mask = true, kaiming = true, pm1 = true }
    for _, file in ipairs(files) do
      for _, a in ipairs(task_of(file).arrays) do
        if a.role == "in" then expect.truthy(own[a.dist[1]], file.name .. " " .. a.name) end
        if a.role == "in" and a.dtype == "f32" and a.name ~= "target" then
          expect.truthy(#a.dist >= 3, file.name .. " " .. a.name .. " with three distributions")
        end
      end
    end
  end)

  it("are short: the mean body is under 400 characters", function()
    local total = 0
    for _, file in ipairs(files) do total = total + #task_of(file).body end
    expect.truthy(total / #files < 400, total / #files)
  end)

  it("are of families that the warm-start corpus knows, each in its own words", function()
    package.path = "experiments/?.lua;experiments/?/init.lua;" .. package.path
    local families = require "vegttt.families"
    local of_tasks, of_corpus = {}, {}
    for _, file in ipairs(files) do of_tasks[task_of(file).family] = true end
    for _, d in ipairs(require("corpus").definitions()) do of_corpus[families.of(d.family)] = d.family end
    of_corpus.movement = nil -- no task only moves data
    for family, name in pairs(of_corpus) do expect.truthy(of_tasks[family], name .. " as a family of tasks") end
    for family in pairs(of_tasks) do expect.truthy(of_corpus[family], family .. " in the corpus") end
  end)

  it("are known as seen when a relative was trained on, in whose words that is said, all hundred", function()
    package.path = "experiments/?.lua;experiments/?/init.lua;" .. package.path
    local families, policy = require "vegttt.families", require "vegttt.policy"
    local of_corpus, n = {}, 0
    for _, d in ipairs(require("corpus").definitions()) do of_corpus[families.of(d.family)] = d.family end
    for _, file in ipairs(files) do
      local task = task_of(file)
      local model = { known = setmetatable({}, { __mode = "v" }), spec = "m" }
      local function trained(on)
        return policy.weights(model, { id = core.json_encode(on), step = 1, trained_on = core.json_encode(on) }).trained_on
      end
      -- The corpus's own word, the tasks' word, both at once; another family; the task itself.
      local corpus_word, other = of_corpus[task.family], task.family == "norm" and "product" or "channel_norm"
      for _, words in ipairs { { corpus_word }, { task.family }, { corpus_word, task.family } } do
        local on = trained { tasks = { 100001 }, families = words }
        expect.same(on.families, { task.family })
        expect.equal(policy.seen(on, task), "family", file)
      end
      expect.equal(policy.seen(trained { tasks = { 100001 }, families = { other } }, task), nil, file)
      expect.equal(policy.seen(trained { tasks = { task.id }, families = { other } }, task), "task", file)
      n = n + 1
    end
    expect.equal(n, 100)
  end)
end)

describe("KernelBench's problem files", function()
  local tasks = require "vegttt.tasks"
  local baselines = require "vegttt.baselines"

  it("are tasks by their names and places, of the torch tier alone", function()
    local t = tasks.get({ ids = { "tests/gpu/torch/19_ReLU.py" } })[1]
    expect.equal(t.id, 19)
    expect.equal(t.name, "relu")
    expect.equal(t.level, 0) -- its folder names none
    expect.equal(t.tier, "torch")
    local messages = t:prompt():messages {}
    expect.contains(messages[2].content, "```python\n")
    expect.contains(messages[2].content, "return torch.relu(x)")
    expect.equal(tasks.problem_path("tests/gpu", 1, 19), nil)
  end)

  it("leave the tasks that come along to the other tiers", function()
    expect.equal(tasks.get({ ids = { 19 } })[1].tier, nil)
  end)

  it("have nothing to do with eager's table, whose rows are of a card and of sizes", function()
    local t = tasks.get({ ids = { 28 } })[1]
    local record = { tier = "cuda", machine = "NVIDIA_H200_driver-13.0", scale = "full" }
    local row = baselines.of(t, record)
    expect.equal(row.sizes, "n=1610612736")
    expect.truthy(row.us > 3000 and row.us < 3100, "hardsigmoid's eager time on an H200")
    record.scale = "hidden"
    expect.equal(baselines.of(t, record), nil)
    record.scale, record.machine = "full", "NVIDIA_L4_driver-13.0"
    expect.equal(baselines.of(t, record), nil)
    expect.equal(baselines.of(t, { tier = "c", machine = "x", scale = "full" }), nil)
  end)
end)
