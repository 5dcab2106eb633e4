-- SPDX-License-Identifier: Apache-2.0
--
-- Rewards and advantages whose formulas are longer than a line, against hand numbers and against enumeration.
local core = require "vegttt.core"
local support = require "support"

local function inside(fn, given)
  support.inside(function(run, p, vt) return fn(vt, run, p) end, given)
end

local function group(task, ...)
  local g = { task = { id = task } }
  for i, speedup in ipairs { ... } do
    g[i] = { task = g.task, tokens = {}, code = tostring(speedup),
      result = { correct = speedup > 0, speedup = speedup, speedup_measured = speedup } }
  end
  return g
end

local function column(groups, key)
  local out = {}
  for _, g in ipairs(groups) do
    for _, s in ipairs(g) do out[#out + 1] = s[key] end
  end
  return out
end

describe("rewards", function()
  it("paper: the running median goes on from step to step, task by task", function()
    inside(function(vt, run)
      local reward = vt.reward.paper()
      expect.same(column(reward { group(1, 20, 0, 20), group(2, 3) }, "reward"), { 20, 0, 1, 3 })
      -- Task 1 has seen 20, 20; task 2 has seen 3. A new reward function has seen nothing.
      expect.same(column(reward { group(2, 6, 9), group(1, 10, 40) }, "reward"), { 2, 9 / 4.5, 0.5, 2 })
      expect.same(column(vt.reward.paper() { group(1, 7) }, "reward"), { 7 })
      local entries = {}
      core.read_lines(run.dir .. "/journal.jsonl", function(line) entries[line.key] = line.value end)
      expect.same(entries["reward/paper/1/2"], { { 2, 6 }, { 2, 9 }, { 1, 10 }, { 1, 40 } })
      expect.same(entries["reward/paper/2/1"], { { 1, 7 } })
    end)
  end)

  it("paper: copies count as timed, wrong ones not at all", function()
    inside(function(vt)
      local g = group(1, 1, 0)
      g[1].result.speedup_measured, g[2].result.speedup_measured = 1.25, 5
      expect.same(column(vt.reward.paper() { g }, "reward"), { 1.25, 0 })
    end)
  end)

  it("paper: a run that goes on with other verdicts is stopped", function()
    support.in_folder(function(root)
      local speedup, is_cut = 2, true
      local function make(vt)
        return vt.experiment { name = "again", doc = "a test", params = {}, main = function()
          vt.reward.paper() { group(1, speedup) }
          if is_cut then error "cut" end
        end }
      end
      for _ = 1, 2 do -- with the same ones it goes on
        expect.contains(tostring(support.execute(make, nil, { root = root, name = "again" }).value), "cut")
      end
      speedup, is_cut = 3, false
      local r = support.execute(make, nil, { root = root, name = "again" })
      expect.contains(tostring(r.value), "rewarded by other speedups")
    end)
  end)

  it("default: log speedup, a failure one below the lowest of the batch", function()
    inside(function(vt)
      local r = column(vt.reward.default() { group(1, 4, 0), group(2, 2, 8) }, "reward")
      expect.near(r[1], math.log(4))
      expect.near(r[2], math.log(2) - 1) -- not -1
      expect.near(column(vt.reward.default() { group(1, 0.5, 0) }, "reward")[2], math.log(0.5) - 1)
      expect.same(column(vt.reward.default() { group(1, 0, 0) }, "reward"), { -1, -1 })
    end)
  end)

  it("bonus and sparse", function()
    inside(function(vt)
      expect.same(column(vt.reward.correct_bonus() { group(1, 2, 0, 0.5) }, "reward"), { 2.3, 0, 0.8 })
      expect.same(column(vt.reward.sparse() { group(1, 2, 0, 0.5, 1) }, "reward"), { 1, 0, 0, 0 })
      expect.same(column(vt.reward.sparse { p = 2 } { group(1, 2, 3) }, "reward"), { 0, 1 })
    end)
  end)
end)

-- The k-subsets of 1..n.
local function subsets(n, k, fn, from, chosen)
  chosen = chosen or {}
  if #chosen == k then return fn(chosen) end
  for i = from or 1, n do
    chosen[#chosen + 1] = i
    subsets(n, k, fn, i + 1, chosen)
    chosen[#chosen] = nil
  end
end

-- n / C(n, k) times the sum over the subsets that hold i of max(subset) - max(subset without i), times 1 / k.
local function max_at_k(r, k)
  local n, sums, counts = #r, {}, {}
  for i = 1, n do sums[i], counts[i] = 0, 0 end
  subsets(n, k, function(set)
    for _, i in ipairs(set) do
      local with, without = -math.huge, -math.huge
      for _, j in ipairs(set) do
        with = math.max(with, r[j])
        if j ~= i then without = math.max(without, r[j]) end
      end
      if k == 1 then
        without = 0
        for j = 1, n do without = without + (j == i and 0 or r[j] / (n - 1)) end
      end
      sums[i], counts[i] = sums[i] + with - without, counts[i] + 1
    end
  end)
  for i = 1, n do sums[i] = sums[i] / counts[i] end
  return sums
end

describe("advantages", function()
  it("max@k equals the mean over all subsets, ties included", function()
    inside(function(vt)
      for _, r in ipairs { { 3, 1, 4, 1.5, 9 }, { 0, 0, 2, 2, 2, 5 }, { 1, 1, 1 }, { -1, 4, -3, 0.5, 2, 7, 7 } } do
        for k = 1, #r do
          local g = group(1, table.unpack(r))
          for i, s in ipairs(g) do s.reward = r[i] end
          vt.advantage.max_at_k { k = k } { g }
          for i, a in ipairs(max_at_k(r, k)) do expect.near(g[i].advantage, a, 1e-12) end
        end
      end
      local g = vt.reward.raw() { group(1, 5, 1, 3) }
      local loo = column(vt.advantage.loo()(g), "advantage")
      expect.same(column(vt.advantage.max_at_k { k = 1 }(g), "advantage"), loo)
      expect.raises("k = 4, but a group has 3 samples", vt.advantage.max_at_k { k = 4 }, g)
      expect.raises("k must be at least 1", vt.advantage.max_at_k, { k = 0 })
    end)
  end)

  it("entropic: by hand at beta 2, and ln 2 from uniform when adaptive", function()
    inside(function(vt)
      local g = vt.reward.raw() { group(1, 0, 1, 2) }
      local a = column(vt.advantage.entropic {}(g), "advantage")
      local e = { math.exp(-4), math.exp(-2), 1 }
      expect.near(a[3], 1 / ((e[1] + e[2]) / 2) - 1, 1e-9)
      expect.near(a[1], e[1] / ((e[2] + e[3]) / 2) - 1, 1e-9)
      -- One of four far above: its softmax weight p has KL = ln 2, and A = p / ((1 - p) / 3) - 1.
      local b = column(vt.advantage.entropic { beta = "adaptive" }(vt.reward.raw() { group(1, 0, 0, 0, 4) }), "advantage")
      local p = (b[4] + 1) / (b[4] + 4)
      expect.near(p * math.log(4 * p) + (1 - p) * math.log(4 * (1 - p) / 3), math.log(2), 1e-6)
      -- Beside one of 860 the others weigh nothing: the mean without it is held at 1e-12, as TTT-Discover does.
      local c = column(vt.advantage.entropic {}(vt.reward.raw() { group(1, 0, 860) }), "advantage")
      expect.near(c[2], 1e12 - 1, 1)
      expect.equal(c[1], -1)
    end)
  end)

  it("presets: the same names as the rewards", function()
    inside(function(vt)
      local g = vt.reward.paper() { group(1, 1, 3), group(2, 2, 2) }
      local z = column(vt.advantage.paper()(g), "advantage")
      local expected = column(vt.advantage.batch_z()(g), "advantage")
      expect.same(z, expected)
      vt.advantage.default()(vt.reward.default()(g))
      expect.near(g[1][1].advantage, -math.log(3))
      expect.equal(g[2].dropped, true)
      expect.equal(g[1].dropped, nil)
    end)
  end)

  it("equal rewards are worth exactly nothing, whatever their sum rounds to", function()
    inside(function(vt)
      for _, r in ipairs { -1.1, 0.1, 1 / 3, 2.3e-7 } do
        for _, k in ipairs { 2, 3, 6, 8, 16, 32 } do
          local equal = {}
          for i = 1, k do equal[i] = r end
          local g = vt.reward.raw() { group(1, table.unpack(equal)) }
          for _, name in ipairs { "default", "loo", "group_z", "batch_z", "entropic", "max_at_k" } do
            local how = name == "max_at_k" and vt.advantage.max_at_k { k = 2 } or vt.advantage[name] and vt.advantage[name] {}
            for i, a in ipairs(column(how(g), "advantage")) do
              expect.equal(a, 0, ("%s of %d times %g, the %d-th"):format(name, k, r, i))
            end
            expect.equal(g[1].dropped, name == "default" or nil)
          end
        end
      end
    end)
  end)

  it("dropped groups are not trained on, unless there is nothing else", function()
    inside(function(vt)
      local tokens = core.array { 1, 2 }
      local function of(...)
        local g = group(1, ...)
        for _, s in ipairs(g) do s.tokens, s.prompt_ids = tokens, { 1 } end
        return g
      end
      local function size(...) return #vt.batch(vt.advantage.default()(vt.reward.raw() { ... })) end
      expect.equal(size(of(1, 2), of(3, 3, 3)), 2)
      expect.equal(size(of(3, 3), of(1, 1, 1)), 5)
      local g = of(3, 3)
      vt.advantage.default()(vt.reward.raw() { g })
      expect.equal(g.dropped, true)
      vt.advantage.batch_z()({ g }) -- another advantage, for which it counts
      expect.equal(g.dropped, nil)
    end)
  end)

  it("dropped groups are recorded as such", function()
    support.in_folder(function(root)
      local dir
      local live = support.run(support.main(function(run, p, vt)
        local policy, groups = vt.policy(p.model), {}
        dir = run.dir
        for i, task in ipairs(vt.tasks { ids = "19,20" }) do
          groups[i] = policy:start():sample(task:prompt(), { n = 2, max_tokens = 4, temperature = 1 })
          for j, s in ipairs(groups[i]) do s.reward = i == 1 and j or 1 end
        end
        return { id = policy:update(vt.batch(vt.advantage.default()(groups)), { lr = 1e-3 }).weights.id }
      end), nil, { root = root, name = "live" })
      local again = support.run(support.main(function(_, p, vt)
        local groups = vt.rollouts(dir)
        expect.equal(groups[1].dropped, nil)
        expect.equal(groups[2].dropped, true)
        return { id = vt.policy(p.model):update(vt.batch(groups), { lr = 1e-3 }).weights.id }
      end), nil, { root = root, name = "again" })
      expect.equal(again.value.id, live.value.id)
    end)
  end)

  it("KL to start: nothing at the start, and a pull against what grew", function()
    inside(function(vt)
      local policy = vt.policy(support.model())
      local start = policy:start()
      local task = vt.tasks({ ids = "19" })[1]
      local g = start:sample(task:prompt(), { n = 2, max_tokens = 6 })
      g[1].advantage, g[2].advantage = 1, -1
      vt.advantage.kl_to_start { start = start, beta = 0.5 } { g }
      for t = 1, #g[1].tokens do expect.near(g[1].advantage[t], 1, 1e-7) end
      g[1].advantage, g[2].advantage = 1, -1
      policy:update(vt.batch { g }, { lr = 1e-2 })
      local now = policy:snapshot():sample(task:prompt(), { n = 2, max_tokens = 6, draw = "again" })
      local sums = {}
      for _, form in ipairs { "centred", "k3" } do
        for _, s in ipairs(now) do s.advantage = 0 end
        vt.advantage.kl_to_start { start = start, beta = 2, form = form } { now }
        local n, mean = 0, 0
        local d = {}
        for i, s in ipairs(now) do
          d[i] = s.logprobs - start:score(task:prompt(), s.tokens)
          mean, n = mean + d[i]:sum(), n + #d[i]
        end
        mean, sums[form] = mean / n, 0
        for i, s in ipairs(now) do
          sums[form] = sums[form] + s.advantage:sum()
          for t = 1, #s.tokens do
            local pull = form == "k3" and math.exp(-d[i][t]) - 1 or mean - d[i][t]
            expect.near(s.advantage[t], 2 * pull, 1e-5)
          end
        end
      end
      expect.near(sums.centred, 0, 1e-4)
      expect.raises("needs start", vt.advantage.kl_to_start, {})
      now[1].advantage = nil
      expect.raises("no advantage", vt.advantage.kl_to_start { start = start }, { now })
    end)
  end)
end)

describe("step_stats", function()
  it("measures a step", function()
    inside(function(vt)
      local g = group(1, 2, 2, 3, 0)
      for i, a in ipairs { 3, -1, 0, 0 } do
        g[i].advantage = a
        g[i].logprobs, g[i].logprob = vt.vector(2, -1), -i
        g[i].logprobs_behaviour = vt.vector(2, -0.25)
      end
      local s = vt.step_stats({ g }, { grad_norm = 4, kl_sample_train = 0.5, agreement = 0.25, ess = 0.75 })
      expect.equal(s.max_advantage, 3)
      expect.near(s.ess, 16 / 10)
      expect.near(s.distinct, 3 / 4)
      expect.near(s.top_code, 2 / 4)
      expect.near(s.entropy, 0.25)
      expect.near(s.surprisal, 1)
      expect.near(s.nll, 2.5)
      expect.near(s.nll_sd, math.sqrt(5 / 3))
      expect.same({ s.grad_norm, s.gap, s.agreement, s.ratio_ess, s.n }, { 4, 0.5, 0.25, 0.75, 4 })
      g[1].advantage = nil
      expect.equal(vt.step_stats({ g }).ess, nil)
      expect.raises("needs samples", vt.step_stats, {})
    end)
  end)
end)
