-- SPDX-License-Identifier: Apache-2.0
--
-- The shipped experiments that sample, choose and measure without adapting, on the small model and the small tasks: each
-- test names a number of the script's result that a wrong formula would give otherwise.
local core = require "vegttt.core"
local experiments = require "support_experiments"
local support = require "support"

local in_folder, run, rows, reader = experiments.in_folder, experiments.run, experiments.rows, experiments.reader

describe("selection", function()
  it("gives each rule what it may pick: pools, fixed denominators, bills", function()
    in_folder(function(root, files)
      local drawn = run("best_of_n", { k = 16, tasks = { files.same, files.negated } }, root)
      local r = run("selection", { from = drawn.run.dir }, root)
      local by = {}
      for _, row in ipairs(rows(r, "rules")) do by[row.rule] = row end
      expect.equal(by.surprisal.checks, 0)
      expect.equal(by.surprisal.measures, 0)
      reader(root, function(vt)
        local groups = vt.rollouts(drawn.run.dir)
        -- By hand: the least likely correct sample of each task, with and without copies.
        local sure, no_copies, n_correct, empty = 0, 0, 0, 0
        for _, g in ipairs(groups) do
          local correct = vt.filter(g, function(s) return s.result.correct end)
          local others = vt.filter(correct, function(s) return not s.result.is_copy end)
          n_correct = n_correct + #correct
          if #others == 0 then empty = empty + 1 end
          for _, pool in ipairs { correct, others } do
            local pick = vt.min_by(pool, "logprob")
            local hit = pick and vt.stats.is_sure(pick.result, 1) and 1 / #groups or 0
            if pool == correct then sure = sure + hit else no_copies = no_copies + hit end
          end
        end
        expect.near(by.surprisal.fast_1_sure, sure, 1e-9)
        expect.near(by.surprisal.no_copies, no_copies, 1e-9)
        expect.equal(by.surprisal.empty, empty)
        expect.equal(by.oracle.measures, n_correct)
      end)
      for _, row in pairs(by) do
        expect.truthy(row.fast_1_sure <= by.oracle.fast_1_sure + 1e-9, row.rule .. " is no better than the oracle")
        expect.truthy(row.each_once <= by.oracle.each_once + 1e-9)
      end
      expect.equal(rows(r, "tests")[1].wins + rows(r, "tests")[1].losses + rows(r, "tests")[1].ties, 2)
    end)
  end)

  it("gives of each number n, distinct values, method and the smallest p", function()
    in_folder(function(root, files)
      local drawn = run("best_of_n", { k = 16, tasks = { files.same, files.negated } }, root)
      local text = run("selection", { from = drawn.run.dir }, root).tables.statistics
      local _, n_rules = text:gsub('\n"?[%w_]+, all"?,selected_fast_1_sure,[^,]*,,,2,task,', "")
      expect.equal(n_rules, 16) -- of every rule without details: no interval below eight tasks, n = 2 tasks
      local test = text:match '\n"surprisal against confidence, all",log_speedup,([^\n]*)'
      local n, ties, p, p_min = test:match "^[^,]*,,,(%d+),task,,%d+,(%d+),,%d+,%d+,([^,]*),([^,]*),"
      expect.equal(n, "2")
      expect.contains(test, "exact sign test of wins and losses")
      expect.near(tonumber(p_min), math.min(1, 2.0 ^ (1 - (2 - tonumber(ties)))), 1e-12)
      expect.truthy(tonumber(p) >= tonumber(p_min))
    end)
  end)

  it("at fewer samples is the mean over all subsets", function()
    support.inside(function(_, _, vt)
      local task, group = { id = 1, name = "t" }, {}
      local made = { { -1, 1, true }, { -5, 3, true }, { -2, 0.5, true }, { -4, 2, false }, { -3, 2, true } }
      for i, m in ipairs(made) do
        group[i] = { i = i, task = task, text = "t" .. i, code = "c" .. i, code_sha = "c" .. i, tokens = {}, n_tokens = 1, logprob = m[1],
          result = { correct = m[3], speedup = m[3] and m[2] or 0, speedup_measured = m[2], speedup_lo = m[2], speedup_hi = m[2],
            is_copy = i == 5, status = "correct_fast" } }
      end
      group.task = task
      -- By hand, over every subset of k: the least likely correct one, and whether it is fast.
      local function by_hand(k, key, takes)
        local hits, n = 0, 0
        for set = 0, 31 do
          local size, pick = 0, nil
          for i = 1, 5 do
            if set & 1 << (i - 1) ~= 0 then
              size = size + 1
              local s = group[i]
              if s.result.correct and takes(s) and (not pick or key(s) < key(pick)) then pick = s end
            end
          end
          if size == k then
            n = n + 1
            if pick and vt.stats.is_sure(pick.result) then hits = hits + 1 end
          end
        end
        return hits / n
      end
      local rules = { vt.select.rules.surprisal, vt.select.rules.confidence, vt.select.rules.random, vt.select.rules.surprisal_top }
      local curves = vt.select.curves(rules, { group }, { subsets = 400 })
      for i, point in ipairs(curves.all.surprisal) do
        local k = ({ 1, 2, 4, 5 })[i]
        expect.equal(point.k, k)
        expect.near(point.fast_sure.value, by_hand(k, function(s) return s.logprob end, function() return true end), 1e-12)
        expect.near(curves.no_copies.confidence[i].fast_sure.value,
          by_hand(k, function(s) return -s.logprob end, function(s) return not s.result.is_copy end), 1e-12)
      end
      expect.near(curves.all.random[1].fast_sure.value, 1 / 5, 1e-12) -- of five samples the second alone is a success
      expect.near(curves.all.random[4].fast_sure.value, 1 / 4, 1e-12) -- with all five one of the four correct ones is picked
      expect.contains(curves.all.surprisal[1].fast_sure.method, "all subsets of k")
      expect.contains(curves.all.surprisal_top[1].fast_sure.method, "400 subsets drawn of k")
      expect.near(curves.all.surprisal_top[2].fast_sure.value, by_hand(2, function(s) return -s.result.speedup end, function() return true end), 0.1)
    end)
  end)

  it("refuses a rule of one's own that cannot pick, before anything is drawn", function()
    in_folder(function(root, files)
      for i, case in ipairs { { "return {}", "empty list" }, { "return nil", "returned a nil" }, { "return { {} }", "not one of its candidates" },
        { "return cs[1].speedup", "cannot read 'speedup'" }, { "error 'no idea'", "no idea" } } do
        local file = ("%s/rule%d.lua"):format(root, i)
        core.write(file, ("return { name = 'mine', pick = function(cs) %s end }"):format(case[1]))
        local r = support.execute(support.file "experiments/selection.lua", { tasks = { files.same }, rules = { file } },
          { root = root .. "/runs" })
        expect.equal(r.status, "failed")
        expect.contains(tostring(r.value), "rule 'mine' fails on a group of made-up samples: ")
        expect.contains(tostring(r.value), case[2])
        expect.equal(r.run.meter.spent.rollouts, 0)
      end
    end)
  end)

  it("refuses runs of two prompts, or of two models", function()
    in_folder(function(root, files)
      run("best_of_n", { k = 2, tasks = { files.same } }, root)
      run("best_of_n", { k = 2, tasks = { files.same }, system = "Be terse." }, root)
      expect.raises("--from mixes prompts of one task: ", run, "selection", { from = root .. "/runs/best_of_n/*" }, root)
      run("best_of_n", { k = 2, tasks = { files.negated }, model = support.model(true) }, root)
      expect.raises("--from mixes models: ", run, "presort", { from = root .. "/runs/best_of_n/*" }, root)
    end)
  end)

  it("averages a task's groups: two seeds of one task are one task", function()
    in_folder(function(root, files)
      local a = run("best_of_n", { k = 8, seed = 1, tasks = { files.same } }, root)
      local b = run("best_of_n", { k = 8, seed = 2, tasks = { files.same } }, root)
      reader(root, function(vt)
        local groups = vt.flatten { vt.rollouts(a.run.dir), vt.rollouts(b.run.dir) }
        local picks = vt.select.apply(vt.select.rules.longest, groups)
        expect.equal(picks.n, 2)
        expect.equal(#picks:outcomes "fast", 1)
        expect.equal(picks:fast().n, 1)
      end)
    end)
  end)

  it("refuses a rule that does not exist before anything is drawn", function()
    in_folder(function(root, files)
      local r = support.execute(support.file "experiments/selection.lua", { tasks = { files.same }, a = "suprisal" },
        { root = root .. "/runs" })
      expect.equal(r.status, "failed")
      expect.contains(tostring(r.value), "surprisal")
      expect.equal(r.run.meter.spent.rollouts, 0)
    end)
  end)
end)

describe("best_of_n", function()
  it("gives each k also for sure, without copies and per code", function()
    in_folder(function(root, files)
      local r = run("best_of_n", { k = 16, tasks = { files.same, files.negated } }, root)
      local t = rows(r, "scaling")
      reader(root, function(vt)
        local groups = vt.rollouts(r.run.dir)
        local shares, no_copies, per_code = vt.stats.shares(groups), 0, 0
        for _, g in ipairs(groups) do
          local codes, hits = vt.codes { g }[1], 0
          for _, s in ipairs(g) do
            if vt.stats.is_fast(s.result) and not s.result.is_copy then no_copies = no_copies + 1 / #g / #groups end
          end
          for _, s in ipairs(codes) do hits = hits + (vt.stats.is_fast(s.result) and 1 or 0) end
          per_code = per_code + hits / #codes / #groups
        end
        expect.near(t[1].pass, shares.sample_fast_1.value, 1e-9)
        expect.near(t[1].pass_sure, shares.sample_fast_1_sure.value, 1e-9)
        expect.near(t[1].pass_no_copies, no_copies, 1e-9)
        expect.near(t[1].pass_per_code, per_code, 1e-9)
        expect.near(t[1].pass_per_code, shares.sample_fast_1_per_code.value, 1e-9)
        expect.truthy(t[1].best_of_k_no_copies < t[1].best_of_k, "a copy is worth 1, and nothing where copies do not count")
      end)
    end)
  end)

  it("counts no copy as a success where copies do not count, however it was timed", function()
    support.inside(function(_, _, vt)
      local g = { task = { id = 1, name = "t" } }
      for i, v in ipairs { { 1.3, true }, { 2.0, false }, { 0.5, false } } do
        g[i] = { i = i, task = g.task, tokens = {}, code = "c" .. i, result = { correct = true, is_copy = v[2], speedup = v[2] and 1 or v[1],
          speedup_measured = v[1], speedup_lo = v[1], status = "correct_fast" } }
      end
      expect.near(vt.stats.pass_at_k({ g }, 1).value, 2 / 3, 1e-12)
      expect.near(vt.stats.pass_at_k({ g }, 1, { copies = false }).value, 1 / 3, 1e-12)
      expect.near(vt.stats.pass_at_k({ g }, 2, { copies = false }).value, 2 / 3, 1e-12)
      expect.near(vt.stats.best_of_k({ g }, 3, { copies = false }).value, 2, 1e-12)
      expect.near(vt.stats.best_of_k({ g }, 1, { copies = false }).value, 2.5 / 3, 1e-12)
    end)
  end)

  it("takes the original's switches: the first tasks, a half of the split, a protocol", function()
    in_folder(function(root, files)
      local r = run("best_of_n", { k = 2, max_tasks = 1, eval = "full", tasks = { files.same, files.negated } }, root) -- --max_tasks 1
      expect.equal(r.meter.charged.rollouts, 2)
      for _, line in ipairs(support.lines(r, "evals.jsonl")) do expect.equal(line.protocol, "full") end -- KERNELBENCH_EVAL_MODE=full
      support.inside(function(_, _, vt, m)
        local declared = vt.load("experiments/best_of_n.lua").params
        local function ids(given)
          local out = {}
          for i, task in ipairs(vt.tasks(m.params.resolve(declared, given, "flag"))) do out[i] = task.id end
          return table.concat(out, ",")
        end
        expect.equal(ids {}, "4,5,12,14,15")
        expect.equal(ids { subset = "eval", tasks = "", max_tasks = 5 }, "4,5,12,14,15") -- --subset eval --max_tasks 5
        expect.truthy(not (("," .. ids { subset = "train", tasks = "" } .. ","):find ",4,"), "the other half")
        -- --prompt_only is --context prompt, the hint of a correct solution --context solution.
        local choices = table.concat(vt.load("experiments/sdpo.lua").params.context.choices, ",")
        expect.equal(choices, "null,prompt,solution,feedback,both")
      end)
    end)
  end)
end)

describe("a paired comparison", function()
  it("counts who is ahead, and says how small p can get", function()
    support.inside(function(_, _, vt)
      local r = vt.stats.paired({ 1, 2, 3, 5 }, { 1, 1, 4, 2 })
      expect.same({ r.wins, r.losses, r.ties, r.n }, { 2, 1, 1, 4 })
      expect.near(r.value, 3 / 4)
      expect.near(r.p, 1)
      expect.near(r.p_min, 1 / 4) -- three pairs differ
      expect.equal(r.lo, nil)
      expect.contains(r.method, "no interval below 8 tasks")
      expect.raises("are no pairs", vt.stats.paired, { 1 }, { 1, 2 })
    end)
  end)
end)

describe("a selection rule", function()
  local function picked(vt, name, cs)
    local group, task = {}, { id = 1, name = "t" }
    for i, c in ipairs(cs) do
      group[i] = { i = i, task = task, text = c.code, code = c.code, code_sha = c.code, n_tokens = c.n, logprob = c.lp,
        logprob_mean = c.lp / c.n, logprob_code = c.lp, tokens = {},
        result = { correct = true, speedup = c.speed, speedup_measured = c.speed, speedup_lo = c.speed, speedup_hi = c.speed,
          is_copy = c.copy or false, status = "correct_fast" } }
    end
    group.task = task
    local picks = vt.select.apply(vt.select.rules[name], { group }, { params = name:find "_top" and { k = 2 } or nil })
    local out = {}
    for i, s in ipairs(picks[1].samples) do out[i] = s.i end
    return table.concat(out, ","), picks
  end

  it("ranks what its name says", function()
    support.inside(function(_, _, vt)
      local cs = { { code = "a", n = 10, lp = -10, speed = 1 }, { code = "a", n = 10, lp = -12, speed = 1 },
        { code = "b", n = 40, lp = -20, speed = 3 }, { code = "c", n = 20, lp = -18, speed = 2 } }
      expect.equal(picked(vt, "confidence", cs), "1")
      expect.equal(picked(vt, "surprisal", cs), "3")
      expect.equal(picked(vt, "surprisal_mean", cs), "2") -- -1, -1.2, -0.5, -0.9
      expect.equal(picked(vt, "confidence_mean", cs), "3")
      expect.equal(picked(vt, "length_controlled", cs), "4") -- residuals of the line: the 4th lies furthest below
      expect.equal(picked(vt, "rarest", cs), "3,4")
      expect.equal(picked(vt, "largest_cluster", cs), "1,2")
      local who, picks = picked(vt, "surprisal_top", cs)
      expect.equal(who, "3")
      expect.equal(picks.cost.measures, 2)
      expect.equal(picked(vt, "confidence_top", cs), "1")
    end)
  end)

  it("must pick something", function()
    support.inside(function(_, _, vt)
      local task = { id = 1, name = "t" }
      local group = { task = task, { i = 1, task = task, tokens = {}, text = "x", logprob = -1, n_tokens = 1,
        result = { correct = true, speedup = 2, is_copy = false, status = "correct_fast" } } }
      expect.raises("empty list", vt.select.apply, function() return {} end, { group })
      expect.raises("returned a nil", vt.select.apply, function() end, { group })
      expect.raises("not one of its candidates", vt.select.apply, function() return { {} } end, { group })
    end)
  end)
end)

describe("detail", function()
  it("is the entropy, self-certainty and DeepConf of the distribution that is written down in the model", function()
    support.inside(function(_, p, vt)
      local w, task = vt.policy(p.model):start(), vt.task(require("support_tasks").same)
      local g = w:sample(task:prompt(), { n = 4, temperature = 1.0 })
      local plain = w:score(g.prompt, g[1].tokens)
      local logp, d = w:score(g.prompt, g[1].tokens, { detail = 2 })
      for t = 1, #logp do expect.equal(logp[t], plain[t]) end
      -- The first token is one of the answers; their probabilities are 0.25, 0.1875, 3 x 0.125, 3 x 0.0625.
      local want = 0
      for _, q in ipairs { 0.25, 0.1875, 0.125, 0.125, 0.125, 0.0625, 0.0625, 0.0625 } do want = want - q * math.log(q) end
      expect.near(d.entropy[1], want, 2e-2)
      expect.near(d.confidence[1], -(math.log(0.25) + math.log(0.1875)) / 2, 2e-2)
      -- All other tokens have the logit -32: -ln p is 32 where nothing else is said.
      local n_vocab, n = vt.policy(p.model).caps.n_vocab, 8
      local sum = (n_vocab - n) * 32
      for _, q in ipairs { 0.25, 0.1875, 0.125, 0.125, 0.125, 0.0625, 0.0625, 0.0625 } do sum = sum - math.log(q) end
      expect.near(d.certainty[1], sum / n_vocab - math.log(n_vocab), 0.2)
      vt.detail({ g }, { top = 2, window = 1 })
      local _, same = w:score(g.prompt, g[1].tokens, { detail = 2 })
      expect.near(g[1].confidence, same.confidence:mean(), 1e-6)
      expect.near(g[1].confidence_tail, same.confidence[#same.confidence], 1e-6)
      expect.near(g[1].confidence_worst, same.confidence:min(), 1e-6)
      expect.raises("1 to 64", w.score, w, g.prompt, g[1].tokens, { detail = 65 })
      local fresh = w:sample(task:prompt(), { n = 2, temperature = 1.0, draw = "x" })
      for _, s in ipairs(fresh) do
        s.result = { correct = true, speedup = 2, is_copy = false, status = "correct_fast" }
      end
      expect.raises("call vt.detail(groups) first", vt.select.apply, vt.select.rules.deepconf, { fresh })
    end)
  end)
end)

-- Answers of which only the confidence of each token is known.
local function answers_of(vt, ...)
  local group, ones = { task = { id = 1 } }, {}
  for i, confidence in ipairs { ... } do
    for t = 1, #confidence do ones[t] = 1.0 end
    local detail = { entropy = vt.vector(ones), certainty = vt.vector(ones), confidence = vt.vector(confidence) }
    group[i] = { i = i, task = group.task, text = "t" .. i, tokens = confidence, n_tokens = #confidence, prompt_ids = { 1 }, n = i,
      weights = { score = function() return nil, detail end },
      result = { correct = true, speedup = i, speedup_lo = i, speedup_hi = i, is_copy = false, status = "correct_fast" } }
  end
  return group
end

describe("DeepConf_online", function()
  it("ends an answer at its first window below the bar, which is of the first answers' worst windows", function()
    support.inside(function(_, _, vt)
      -- Worst windows of two: 2.5 and 4; with half of them kept the bar is 3.25.
      local g = answers_of(vt, { 3, 2, 5, 9 }, { 4, 4, 6, 6 }, { 5, 5, 5, 1, 1, 9 }, { 4, 3, 9, 9 }, { 3, 3, 1, 1 }, { 9, 9, 9 })
      vt.detail({ g }, { window = 2, warmup = 2, keep = 0.5 })
      local written, kept = {}, {}
      for i, s in ipairs(g) do written[i], kept[i] = s.online_tokens, s.online_kept end
      expect.same(written, { 4, 4, 4, 4, 2, 3 }) -- the third at its fourth token, the fifth at its second
      expect.same(kept, { 0, 1, 0, 1, 0, 1 })
      expect.equal(g[4].confidence_worst, 3.5)
      local function pick() return vt.select.apply(vt.select.rules.deepconf_online, { g })[1].samples end
      expect.equal(pick()[1].i, 6) -- the most confident of 2, 4 and 6
      vt.detail({ g }, { window = 2, warmup = 2, keep = 1.0 }) -- the bar is the lower of the two, 2.5
      expect.equal(g[1].online_kept, 1)
      vt.detail({ g }, { window = 2, warmup = 2, keep = 0.0 })
      expect.equal(g[4].online_kept, 0)
      for _, s in ipairs(g) do s.online_kept = 0 end
      expect.equal(#pick(), 0)
      expect.raises("warmup", vt.detail, { g }, { warmup = 0 })
      expect.raises("keep", vt.detail, { g }, { keep = 1.5 })
    end)
  end)
end)

describe("nll_probe", function()
  it("finds under the first weights the log-probabilities that were drawn", function()
    in_folder(function(root, files)
      local boa = run("boa", { k = 8, steps = 1, lr = 0.003, tasks = { files.same, files.negated } }, root)
      local r = run("nll_probe", { from = boa.run.dir }, root) -- by default the steps that the run has: 0 and 1
      local t, sum, n, n_correct = rows(r, "rho"), 0, 0, 0
      reader(root, function(vt)
        for _, g in ipairs(vt.rollouts(boa.run.dir)) do
          for _, s in ipairs(g.step == 0 and g.draw == "main" and g or {}) do
            sum, n = sum - s.logprob, n + 1
            if s.result.correct then n_correct = n_correct + 1 end
          end
        end
      end)
      expect.equal(t[1].n, n)
      expect.near(t[1].mean_nll, sum / n, 1e-5)
      expect.equal(t[2].n, n_correct)
      expect.equal(#t, 8)
      expect.truthy(t[5].mean_nll ~= t[1].mean_nll, "other weights, other likelihoods")
      expect.truthy(t[4].n <= t[3].n and t[4].view == "distinct", "each code once")
    end)
  end)
end)

describe("refine", function()
  it("begins both arms with the same draw, at the same number of rollouts", function()
    in_folder(function(root, files)
      local r = run("refine", { k = 3, turns = 2, tasks = { files.same } }, root)
      local t = rows(r, "turns")
      expect.equal(t[1].refined, t[1].sampled)
      expect.equal(t[2].rollouts, 6)
      expect.truthy(t[2].refined >= t[1].refined - 1e-9 and t[2].sampled >= t[1].sampled - 1e-9, "the best so far stays")
      expect.equal(r.meter.charged.rollouts, 9)
      reader(root, function(vt)
        local n_shown, n_plain = 0, 0
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          local is_shown = g.prompt:messages({})[2].content:find("An earlier answer:", 1, true)
          if is_shown then n_shown = n_shown + #g else n_plain = n_plain + #g end
        end
        expect.equal(n_shown, 3) -- the second turn of the arm that refines, and nothing else
        expect.equal(n_plain, 6)
      end)
    end)
  end)
end)

describe("presort", function()
  it("finds everything when all codes are evaluated, whatever the order", function()
    in_folder(function(root, files)
      local drawn = run("best_of_n", { k = 16, tasks = { files.same } }, root)
      local t = rows(run("presort", { from = drawn.run.dir }, root), "curve")
      local last = t[#t]
      expect.equal(last.evaluated, 16)
      expect.near(last.surprising, last.likely, 1e-9)
      expect.near(last.surprising, last.random, 1e-9)
      expect.truthy(t[1].likely <= last.likely and t[1].surprising <= last.surprising, "more evaluations find no less")
      reader(root, function(vt)
        for _, row in ipairs(t) do -- by hand: the least likely codes first, of which a second copy costs nothing
          local have, n, best = {}, 0, 1
          for _, s in ipairs(vt.sort_by(vt.rollouts(drawn.run.dir)[1], "logprob")) do
            if not have[vt.code_of(s)] and n < row.evaluated then
              have[vt.code_of(s)], n = true, n + 1
              if vt.stats.is_sure(s.result) then best = math.max(best, s.result.speedup) end
            end
          end
          expect.near(row.surprising, best, 1e-5 * best)
        end
      end)
    end)
  end)
end)

describe("variance", function()
  it("is the spread of the correct answers' log-probabilities", function()
    in_folder(function(root, files)
      local drawn = run("best_of_n", { k = 16, tasks = { files.same } }, root)
      local r = run("variance", { from = drawn.run.dir }, root)
      reader(root, function(vt)
        local x = {}
        for _, s in ipairs(vt.rollouts(drawn.run.dir)[1]) do
          if s.result.correct then x[#x + 1] = s.logprob end
        end
        expect.near(rows(r, "tasks")[1].sd_logprob, vt.stats.sd(x), 1e-4)
        expect.equal(rows(r, "tasks")[1].correct, #x)
      end)
      expect.equal(core.exists(r.run.dir .. "/tables/tasks.csv"), true)
    end)
  end)
end)

describe("predict", function()
  it("learns from the measured half alone, and scores the other under both weights", function()
    in_folder(function(root, files)
      local r = run("predict", { k = 24, lr = 0.01, advantage = "loo", tasks = { files.same } }, root)
      local of = {}
      for _, row in ipairs(rows(r, "agreement")) do of[row.weights .. row.half .. row.view] = row end
      reader(root, function(vt)
        local g, n_measured, n_tokens, held = vt.rollouts(r.run.dir)[1], 0, 0, {}
        local codes = vt.codes { g }[1]
        n_measured = (#codes + 1) // 2
        expect.equal(of.beforemeasuredall.codes, n_measured)
        expect.equal(of.beforeheldall.codes, #codes - n_measured)
        expect.equal(of.afterheldall.codes, #codes - n_measured)
        -- What was trained on is what got a reward; its tokens are what the update was charged for.
        local is_measured = {}
        for _, s in ipairs(g) do
          if s.reward then n_tokens, is_measured[vt.code_of(s)] = n_tokens + s.n_tokens, true end
        end
        expect.equal(r.meter.charged.update_tokens, n_tokens)
        local x, y = {}, {}
        for _, s in ipairs(codes) do
          if not is_measured[vt.code_of(s)] then
            held[#held + 1], x[#x + 1], y[#y + 1] = s, s.logprob, s.result.correct and s.result.speedup or 0
          end
        end
        expect.equal(#held, #codes - n_measured)
        local rho = vt.stats.spearman(x, y).value
        if rho == rho then expect.near(of.beforeheldall.rho, rho, 1e-6) end
      end)
    end)
  end)
end)

describe("protocols", function()
  it("ranks the same codes by both, and one clock against itself agrees", function()
    in_folder(function(root, files)
      local drawn = run("best_of_n", { k = 24, tasks = { files.same } }, root)
      local r = run("protocols", { from = drawn.run.dir, most = 3 }, root)
      local row = rows(r, "tasks")[1]
      expect.equal(row.codes, 3)
      expect.truthy(row.tau >= -1 and row.tau <= 1)
      expect.near(row.p_min, 1 / 3, 1e-9) -- of the six orders of three codes two are as far apart as can be
      expect.equal(r.meter.charged.evaluations, 3)
    end)
  end)

  it("finds a full protocol that turns the order round", function()
    in_folder(function(root, files)
      local function turned(_, fields)
        if not fields.correct then return {} end
        local v = 100 / fields.speedup_measured
        return { speedup = v, speedup_measured = v, speedup_lo = v, speedup_hi = v }
      end
      local drawn = run("best_of_n", { k = 24, tasks = { files.same } }, root)
      local r = support.run(support.file "experiments/protocols.lua", { from = drawn.run.dir, most = 3 },
        { root = root .. "/runs", again = turned })
      local row = rows(r, "tasks")[1]
      expect.equal(row.tau, -1)
      expect.equal(row.same_best, "no")
      expect.truthy(row.sure_full >= row.sure_fast and row.sure_full < row.codes, "100 over any speedup here is above 1; the copy is not sure")
      expect.truthy(row.sure_both == row.sure_fast, "what is sure by both")
    end)
  end)

  it("needs two codes", function()
    in_folder(function(root, files)
      expect.raises("fewer than two correct codes", run, "protocols", { k = 1, tasks = { files.same } }, root)
    end)
  end)
end)

describe("shapes", function()
  it("times the selected kernel of each task at other sizes, as other tasks", function()
    in_folder(function(root, files)
      local r = run("shapes", { k = 16, tasks = { files.same }, factors = { 0.5, 2.0 } }, root)
      local t = rows(r, "sizes")
      expect.equal(#t, 2)
      expect.equal(t[1].correct, "yes")
      local function n_of(id) return core.json_decode(core.read(("%s/tasks/%d.json"):format(r.run.dir, id)), "a task").sizes.cpu.n end
      expect.equal(n_of(10001001), 1025) -- of 2048: half, and one more
      expect.equal(n_of(10001002), 4097)
      expect.equal(r.value.kernels, 1)
      local ids = {}
      for _, line in ipairs(support.lines(r, "evals.jsonl")) do ids[line.task] = true end
      expect.truthy(ids[10001001] and ids[10001002], "tasks of their own")
    end)
  end)
end)

describe("an archive", function()
  it("scores as PUCT does, counts a pick on all ancestors, and picks no relatives together", function()
    support.inside(function(_, _, vt)
      local a = vt.archive { c = 2, keep = 2 }
      local root = a.nodes[1]
      expect.equal(a:pick(3)[1], root)
      a:add(root, { { value = 1, key = "a", what = "A" }, { value = 3, key = "b", what = "B" }, { value = 2, key = "c", what = "C" },
        { value = 3, key = "b", what = "B again" } })
      expect.equal(#a.nodes, 3) -- the two best new ones: b and c
      local b, c = a.nodes[2], a.nodes[3]
      expect.equal(b.what, "B")
      expect.equal(c.what, "C")
      -- Ranks: b 3/6, c 2/6, root 1/6; range of b and c is 1; T = 1.
      local s = a:scores()
      expect.near(s[1], 3 + 2 * 1 * (1 / 6) * math.sqrt(2) / 2, 1e-12) -- Q is its best child's
      expect.near(s[2], 3 + 2 * 1 * (3 / 6) * math.sqrt(2), 1e-12)
      expect.near(s[3], 2 + 2 * 1 * (2 / 6) * math.sqrt(2), 1e-12)
      local picked = a:pick(3)
      expect.equal(#picked, 2) -- the root is an ancestor of both
      expect.truthy(picked[1] == b and picked[2] == c)
      a:add(b, { { value = 5, key = "d", what = "D" } })
      expect.equal(root.n, 2)
      expect.equal(b.n, 1)
      expect.equal(c.n, 0)
      expect.equal(b.best_child, 5)
      expect.equal(root.best_child, 3) -- of its own children only
    end)
  end)
end)

describe("power sampling", function()
  it("accepts every proposal where the first token decides: its low temperature is the power already", function()
    in_folder(function(root, files)
      local r = run("power", { k = 4, moves = 4, alpha = 2.0, tasks = { files.same } }, root)
      expect.equal(r.value.accepted, 1)
      expect.equal(r.meter.charged.rollouts, 4 * 5)
      local n_first = 0
      reader(root, function(vt)
        for _, g in ipairs(vt.rollouts(r.run.dir)) do
          for _, s in ipairs(g.draw == "main" and g or {}) do n_first = n_first + s.n_tokens end
        end
      end)
      expect.equal(r.meter.charged.sampled_tokens, n_first + r.value.extra_tokens) -- what is kept is not billed again
    end)
  end)

  it("redraws from a cut: the beginning stays, token by token, and the whole is a sample", function()
    support.inside(function(_, p, vt)
      local w = vt.policy(p.model):start()
      local s = w:sample(vt.task(require("support_tasks").same):prompt(), { n = 1, temperature = 1.0 })[1]
      local g = w:resample(s, 1, { n = 3, temperature = 1.0 })
      for _, y in ipairs(g) do
        expect.equal(y.tokens[1], s.tokens[1])
        expect.equal(y.logprobs[1], s.logprobs[1])
        expect.equal(#y.logprobs, #y.tokens)
        expect.equal(y.text, s.text) -- this model's ends follow from its beginnings
        local again = w:score(y.prompt, y.tokens)
        for t = 1, #again do expect.equal(again[t], y.logprobs[t]) end
      end
      expect.raises("keeps 0 to", w.resample, w, s, s.n_tokens + 1, { n = 1 })
    end)
  end)
end)

describe("a prompt's parameters", function()
  it("show a task in another way, and the file is an input", function()
    in_folder(function(root, files)
      core.write(root .. "/p.txt", "Improve:\n{source}\nNow.")
      local given = { k = 2, tasks = { files.same }, prompt = root .. "/p.txt", system = "Be terse.", shots = 2,
        free_form = true }
      local r = run("best_of_n", given, root)
      reader(root, function(vt)
        local prompt = vt.rollouts(r.run.dir)[1].prompt
        local m = prompt:messages {}
        expect.equal(#m, 6)
        expect.equal(m[1].content, "Be terse.")
        expect.contains(m[2].content, "Improve:\nvoid every_third")
        expect.equal(m[3].role, "assistant")
        expect.contains(m[6].content, "Now.")
        expect.equal(prompt.prefix, "")
      end)
      core.write(root .. "/p.txt", "Improve it:\n{source}\nNow.")
      local again = run("best_of_n", given, root)
      expect.truthy(not again.is_stored, "an edited prompt is another run")
    end)
  end)

  it("come with worked examples whose two bodies give the same", function()
    in_folder(function(root)
      local shots = require "vegttt.shots"
      local parts = { "#include <stdio.h>\n#include <string.h>\n" }
      for i, shot in ipairs(shots.all) do
        for _, which in ipairs { "slow", "fast" } do
          local name = shot.signature:match "void ([%w_]+)"
          parts[#parts + 1] = (shots.source(shot, shot[which]):gsub(name, ("%s_%s_%d"):format(name, which, i), 1)) .. "\n"
        end
      end
      parts[#parts + 1] = [[
int main(void)
{
    float x[12 * 7], a[12 * 7] = {0}, b[12 * 7] = {0};
    int k[12], limit[5] = {-3, 0, 4, 7, 99}, c[5], d[5];
    for (int i = 0; i < 84; i++) x[i] = (float)((i * 37) % 19) - 9;
    for (int i = 0; i < 12; i++) k[i] = (i * 5) % 11 - 4;
    every_third_slow_1(x, a, 80);
    every_third_fast_1(x, b, 80);
    if (memcmp(a, b, sizeof a) || a[25] != x[75]) return 1;
    count_below_slow_2(k, limit, c, 12, 5);
    count_below_fast_2(k, limit, d, 12, 5);
    if (memcmp(c, d, sizeof c) || c[4] != 12) return 2;
    reverse_rows_slow_3(x, a, 12, 7);
    reverse_rows_fast_3(x, b, 12, 7);
    return memcmp(a, b, sizeof a) || a[0] != x[77] ? 3 : 0;
}
]]
      core.write(root .. "/shots.c", table.concat(parts))
      local ok, _, code = os.execute(("cc -Wall -Werror -o %s/shots %s/shots.c && %s/shots"):format(root, root, root))
      expect.truthy(ok, ("the bodies differ: %s"):format(tostring(code)))
    end)
  end)
end)
