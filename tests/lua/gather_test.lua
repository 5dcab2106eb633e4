-- SPDX-License-Identifier: Apache-2.0
--
-- vt.gather: which samples of recorded runs a script is given, and which mixtures it refuses.
local core = require "vegttt.core"
local experiments = require "support_experiments"
local support = require "support"

local in_folder, run = experiments.in_folder, experiments.run

-- vt.gather of what `from` names, with more parameters, as the main of a script; fn(groups) or an error.
local function gathered(root, from, more, fn, ...)
  local needs = table.pack(...)
  local given = { from = from }
  for k, v in pairs(more or {}) do given[k] = v end
  local r = support.execute(function(vt)
    return vt.experiment { name = "gathers", doc = "a test", params = vt.gather_params {}, main = function(_, p)
      fn(vt.gather(p, table.unpack(needs, 1, needs.n)), vt)
    end }
  end, given, { root = root .. "/runs", fresh = true })
  if r.status ~= "done" then error(tostring(r.value), 0) end
end

-- Changes every line of a run's file.
local function edit(dir, name, change)
  local lines = {}
  core.read_lines(dir .. "/" .. name, function(line)
    change(line)
    lines[#lines + 1] = core.json_encode(line)
  end)
  core.write(dir .. "/" .. name, table.concat(lines, "\n") .. "\n")
end

-- A copy of a run beside it: its records, tasks and prompts.
local function copy(dir, name)
  local other = dir:match "^(.*)/" .. "/" .. name
  local function take(folder)
    core.mkdir(other .. folder)
    for _, file in ipairs(core.list(dir .. folder)) do
      local path = folder .. "/" .. file
      if core.is_dir(dir .. path) then take(path) else core.write(other .. path, core.read(dir .. path)) end
    end
  end
  take ""
  return other
end

describe("gathered_samples:", function()
  it("are of one temperature, one protocol, one machine and one evaluator", function()
    in_folder(function(root, files)
      local dir = run("best_of_n", { k = 2, tasks = { files.same } }, root).run.dir
      local function mixes(what, file, change)
        local other = copy(dir, "other")
        edit(other, "rollouts.jsonl", function(line) line.key = "another " .. line.i end)
        gathered(root, root .. "/runs/best_of_n/*", nil, function(groups) expect.equal(#groups, 2) end) -- two runs of one kind
        edit(other, file, change)
        expect.raises("--from mixes " .. what, gathered, root, root .. "/runs/best_of_n/*", nil, function() end)
        core.remove(other)
      end
      mixes("temperatures: ", "rollouts.jsonl", function(line) line.temperature = 0.5 end)
      mixes("weights of one task: ", "rollouts.jsonl", function(line) line.weights = ("0"):rep(64) end)
      mixes("prompts of one task: ", "rollouts.jsonl", function(line) line.prompt, line.prompt_sha = nil, "other" end)
      for name, what in pairs { protocol = "protocols", machine = "machines", evaluator = "evaluators", scale = "scales", tier = "tiers" } do
        mixes(what .. " of verdicts: ", "evals.jsonl", function(line) line[name] = "another" end)
      end
    end)
  end)

  it("that several runs hold are counted once, where most of their group is", function()
    in_folder(function(root, files)
      run("best_of_n", { k = 2, tasks = { files.same } }, root)
      local more = run("best_of_n", { k = 5, tasks = { files.same } }, root).run.dir
      gathered(root, root .. "/runs/best_of_n/*", nil, function(groups)
        expect.equal(#groups, 1) -- two groups of 2 and 5 would be 7 samples
        expect.equal(#groups[1], 5)
        expect.equal(groups[1].run, more)
      end)
    end)
  end)

  it("have verdicts, and log-probabilities where the script needs them", function()
    in_folder(function(root, files)
      local dir = run("best_of_n", { k = 2, tasks = { files.same } }, root).run.dir
      edit(dir, "rollouts.jsonl", function(line) line.logprob, line.logprob_mean = nil, nil end)
      expect.raises("have no log-probabilities (the first: task ", gathered, root, dir, nil, function() end, "logprobs")
      gathered(root, dir, nil, function(groups) expect.equal(#groups[1], 2) end)
      core.write(dir .. "/evals.jsonl", "")
      expect.raises("have no verdict (the first: task ", gathered, root, dir, nil, function() end)
    end)
  end)

  it("are the first draws unless the fresh ones or all are asked for", function()
    in_folder(function(root, files)
      local dir = run("boa", { k = 2, steps = 0, tasks = { files.same } }, root).run.dir
      for drawn, n in pairs { first = 2, fresh = 2, all = 4 } do
        gathered(root, dir, { drawn = drawn }, function(groups, vt)
          expect.equal(#vt.flatten(groups), n)
          if drawn ~= "all" then expect.equal(groups[1].draw == "fresh", drawn == "fresh") end
        end)
      end
    end)
  end)
end)
