-- SPDX-License-Identifier: Apache-2.0
--
-- What the papers report and no script's own table says: computed from recorded samples. Each function gets pick(experiment,
-- where), which gives the runs of one configuration (all its seeds; none where there are none), and the part that asked, and
-- returns rows { row, quantity, value or statistic, of = what n counts }. Samples of several seeds are pooled by task, so that
-- an interval is over tasks and never over seeds; "mean" of seeds is the papers' form.
local vt = require "vegttt"

local derived = {}

-- Ends a derived quantity, and no other: what its samples lack, in words. reading.rows takes it for the item's reason.
local function lack(...) error({ lacks = string.format(...) }, 0) end
function derived.is_lack(e) return type(e) == "table" and rawget(e, "lacks") ~= nil end

-- The samples, all of which must say this.
local function that_say(samples, name, words)
  for _, s in ipairs(samples) do
    if s[name] == nil then lack("samples of task %s have no %s, which their source did not give", tostring(s.task.id), words) end
  end
  return samples
end

-- The groups of runs, judged: of the step `at` (number, or function of the run), all but a second draw.
local function groups_of(runs, at)
  local out = {}
  for _, r in ipairs(runs) do
    local step = type(at) == "function" and at(r) or at
    for _, g in ipairs(vt.rollouts(r.dir)) do
      if g.draw ~= "fresh" and (step == nil or g.place == step) then out[#out + 1] = that_say(g, "result", "verdict") end
    end
  end
  return out
end

local function chosen(r) return rawget(r.summary, "step") or 0 end

local function shares(rows, name, groups, more)
  rows[#rows + 1] = { name, "sample_fast_1", vt.stats.fast(groups, 1) }
  rows[#rows + 1] = { name, "sample_fast_1_sure", vt.stats.fast_sure(groups, 1) }
  rows[#rows + 1] = { name, "sample_correct", vt.stats.rate(groups, "correct") }
  for quantity, value in vt.sorted_pairs(more or {}) do rows[#rows + 1] = { name, quantity, value } end
end

local function charged(runs, unit)
  local sum = 0
  for _, r in ipairs(runs) do sum = sum + (r.meter.charged[unit] or 0) / #runs end
  return sum
end

local methods = { { "Best-of-N", "best_of_n", 0 }, { "BoA", "boa", chosen }, { "isolated", "isolated", nil },
  { "SDPO", "sdpo", function(r) return rawget(r.summary, "updates") end } }

function derived.frontier(pick, part)
  local rows = {}
  for _, m in ipairs(methods) do
    local runs = m[2] ~= "isolated" and pick(m[2], part.where) or {}
    if #runs > 0 then
      local of_seed = {}
      for i, r in ipairs(runs) do of_seed[i] = vt.stats.fast(groups_of({ r }, m[3]), 1).value end
      local groups = groups_of(runs, m[3])
      shares(rows, m[1], groups, { rollouts = charged(runs, "rollouts"), task_success = vt.stats.task_success(groups, 1),
        sd_over_seeds = #runs > 1 and vt.stats.sd(of_seed) or nil })
    end
  end
  return rows
end

function derived.steps_by_task(pick)
  local rows = {}
  for _, drawn in ipairs(vt.sort_by(vt.group_by(groups_of(pick "boa"), "place"), "key")) do
    for _, t in ipairs(vt.stats.by_task(drawn)) do
      rows[#rows + 1] = { ("%d, task %d"):format(drawn.key, t.task), "sample_fast_1", t.fast_1, n = t.n, of = "samples" }
    end
  end
  return rows
end

-- Rules over steps by the papers' fast_1, of each seed, then averaged: a maximum over the samples that it is scored on.
local function early(values) -- the best of the steps up to the first that is no better
  local stop = vt.early_stop { patience = 1 }
  for _, v in ipairs(values) do
    if stop:offer(v) == "stop" then break end
  end
  return stop:best().score
end

function derived.choices(pick)
  local sums, order, runs = {}, { "start", "last", "best", "early stop", "each task's early stop", "each task's best" }, pick "boa"
  local n_tasks = 0
  for _, r in ipairs(runs) do
    local steps, of_task, own_best, own_early = {}, {}, {}, {}
    for step, drawn in ipairs(vt.sort_by(vt.group_by(groups_of { r }, "place"), "key")) do
      local tasks = vt.stats.by_task(drawn)
      n_tasks = #tasks
      for i, t in ipairs(tasks) do
        of_task[i] = of_task[i] or {}
        of_task[i][step] = t.fast_1
      end
      steps[step] = vt.stats.fast(drawn, 1).value
    end
    for i, values in ipairs(of_task) do own_best[i], own_early[i] = math.max(table.unpack(values)), early(values) end
    local values = { start = steps[1], last = steps[#steps], best = math.max(table.unpack(steps)), ["early stop"] = early(steps),
      ["each task's early stop"] = vt.stats.mean(own_early), ["each task's best"] = vt.stats.mean(own_best) }
    for name, v in pairs(values) do sums[name] = (sums[name] or 0) + v / #runs end
  end
  local rows = {}
  for i, name in ipairs(#runs > 0 and order or {}) do rows[i] = { name, "sample_fast_1", sums[name], n = n_tasks, of = "tasks" } end
  return rows
end

function derived.sdpo(pick)
  local rows, means = {}, {}
  for _, context in ipairs { "feedback", "prompt" } do
    local values = {}
    for i, r in ipairs(pick("sdpo", { context = context })) do
      local last = vt.flatten(groups_of({ r }, function() return rawget(r.summary, "updates") end))
      values[i] = r.summary.last_fast_1
      rows[#rows + 1] = { ("%s %d"):format(context, r.params.seed), "sample_fast_1", values[i], n = #last, of = "samples" }
    end
    if #values > 0 then
      means[context] = vt.stats.mean(values)
      rows[#rows + 1] = { context .. " mean", "sample_fast_1", means[context], sd = #values > 1 and vt.stats.sd(values) or nil,
        n = #values, of = "seeds" }
    end
  end
  if means.feedback and means.prompt then
    rows[#rows + 1] = { "feedback less prompt", "sample_fast_1", means.feedback - means.prompt }
  end
  return rows
end

function derived.compute(pick)
  local rows = {}
  for _, m in ipairs(methods) do
    local runs = pick(m[2])
    if #runs > 0 then
      for _, unit in ipairs { "rollouts", "sampled_tokens", "teacher_tokens", "update_tokens" } do
        rows[#rows + 1] = { m[1], unit, charged(runs, unit), n = #runs, of = "runs" }
      end
      local wall = 0
      for _, r in ipairs(runs) do wall = wall + (r.wall_s or 0) / 60 / #runs end
      rows[#rows + 1] = { m[1], "minutes", wall, n = #runs, of = "runs" }
    end
  end
  return rows
end

local function correct_of(groups) return vt.filter(vt.flatten(groups), function(s) return s.result.correct end) end

local function speedups(samples)
  local out = {}
  for i, s in ipairs(samples) do out[i] = s.result.speedup_measured end
  return out
end

function derived.speedup_by_seed(pick)
  local rows, means = {}, {}
  for _, r in ipairs(pick "boa") do
    local found = speedups(correct_of(groups_of({ r }, chosen)))
    if #found > 0 then
      means[#means + 1] = vt.stats.mean(found)
      rows[#rows + 1] = { tostring(r.params.seed), "speedup", means[#means], n = #found, of = "correct samples" }
    end
  end
  if #means > 0 then
    rows[#rows + 1] = { "mean", "speedup", vt.stats.mean(means), sd = #means > 1 and vt.stats.sd(means) or nil, n = #means, of = "seeds" }
  end
  return rows
end

-- The first verdicts' fastest of each task, as the papers have it: a maximum over K noisy ratios.
function derived.selected(pick)
  local rows, best = {}, {}
  for _, t in ipairs(vt.group_by(correct_of(groups_of(pick "best_of_n")), function(s) return s.task.id end)) do
    best[#best + 1] = math.max(table.unpack(speedups(t)))
  end
  table.sort(best, function(a, b) return a > b end)
  for i, v in ipairs(best) do rows[i] = { tostring(i), "speedup", v } end
  return rows
end

-- Quarters of the correct samples by surprisal, Q1 the likeliest; the tasks in a quarter differ, which confounds it.
function derived.quartiles(pick)
  local samples, rows = correct_of(groups_of(pick "best_of_n")), {}
  that_say(that_say(samples, "logprob", "log-probability"), "n_tokens", "length in tokens")
  samples = vt.sort_by(samples, function(s) return -s.logprob end)
  for q = 1, #samples >= 4 and 4 or 0 do
    local these = table.move(samples, (q - 1) * #samples // 4 + 1, q * #samples // 4, 1, {})
    local fast, tokens = 0, 0
    for _, s in ipairs(these) do
      fast, tokens = fast + (vt.stats.is_fast(s.result, 1) and 1 or 0) / #these, tokens + s.n_tokens / #these
    end
    local tasks = #vt.group_by(these, function(s) return s.task.id end)
    for name, v in vt.sorted_pairs { fast_1 = fast, speedup = vt.stats.mean(speedups(these)), tokens = tokens, tasks = tasks } do
      rows[#rows + 1] = { "Q" .. q, name, v, n = #these, of = "correct samples" }
    end
  end
  return rows
end

function derived.pilot(pick)
  local rows = {}
  for _, x in ipairs { { "Best-of-N", "best_of_n", 0 }, { "BoA step 0", "boa", 0 }, { "BoA step 1", "boa", 1 } } do
    local groups = vt.filter(groups_of(pick(x[2]), x[3]), function(g) return g.task.id == 4 end)
    if #groups > 0 then rows[#rows + 1] = { x[1], "sample_fast_1", vt.stats.fast(groups, 1).value, n = #vt.flatten(groups), of = "samples" } end
  end
  return rows
end

function derived.solved(pick, part)
  local runs = pick("best_of_n", part.where)
  if #runs == 0 then return {} end
  local groups = groups_of(runs)
  local rows = { { "tasks solved", "share", vt.stats.task_success(groups, 1) },
    { "tasks solved", "share_sure", vt.stats.task_success(groups, 1, { sure = true }) } }
  for _, t in ipairs(vt.stats.by_task(groups)) do -- why the others are not: the verdict that most of their samples have
    local samples = vt.flatten(vt.filter(groups, function(g) return g.task.id == t.task end))
    local most = vt.max_by(vt.group_by(samples, function(s) return s.result.status end), function(same) return #same end)
    if t.fast_1 == 0 then rows[#rows + 1] = { ("%d %s, not solved"):format(t.task, t.name), most.key, #most / #samples, n = #samples, of = "samples" } end
  end
  return rows
end

-- What both sides were given, and whether it is the same.
function derived.matched(pick)
  local a, b, rows = pick("best_of_n")[1], pick("boa")[1], {}
  if not (a and b) then return rows end
  local function say(v) return type(v) == "table" and table.concat(v, ",") or tostring(v) end
  for _, name in ipairs { "k", "temperature", "max_tokens", "eval", "model", "system", "tasks" } do
    local x, y = say(rawget(a.params, name)), say(rawget(b.params, name))
    rows[#rows + 1] = { "matched", name, x == y and "yes" or ("%s against %s"):format(x, y) }
  end
  local x, y = charged({ a }, "rollouts"), charged({ b }, "rollouts")
  rows[#rows + 1] = { "matched", "rollouts", x == y and "yes" or ("%.0f against %.0f"):format(x, y) }
  return rows
end

local function same_tasks(a, b)
  local known = {}
  for _, g in ipairs(b) do known[g.task.id] = true end
  return vt.filter(a, function(g) return known[g.task.id] end)
end

-- Whether two draws of the same tasks can be of one distribution: the difference of their fast_1, summed over tasks, against the
-- binomial spread that each task's pooled share gives it.
local function agree(a, b)
  local of_b, sum, variance = {}, 0, 0
  for _, t in ipairs(vt.stats.by_task(b)) do of_b[t.task] = t end
  for _, t in ipairs(vt.stats.by_task(a)) do
    local o = of_b[t.task]
    local share = (t.fast_1 * t.n + o.fast_1 * o.n) / (t.n + o.n)
    sum, variance = sum + t.fast_1 - o.fast_1, variance + share * (1 - share) * (1 / t.n + 1 / o.n)
  end
  return sum * sum <= 1.96 ^ 2 * variance
end

-- Only where the adaptation's step 0, which is a draw from the start weights, agrees with Best-of-N.
function derived.equivalent_k(pick)
  local runs = pick "boa"
  local search, adapted = groups_of(pick "best_of_n"), groups_of(runs, chosen)
  search, adapted = same_tasks(search, adapted), same_tasks(adapted, search)
  if #search == 0 then return {} end
  local start = same_tasks(groups_of(runs, 0), search)
  search, adapted = same_tasks(search, start), same_tasks(adapted, start)
  if #start == 0 then return {} end
  if not agree(search, start) then
    return { { "BoA", "equivalent K", ("none: step 0 has %.3g, Best-of-N %.3g"):format(vt.stats.fast(start, 1).value, vt.stats.fast(search, 1).value),
      n = #vt.stats.by_task(search), of = "tasks" } }
  end
  local k = vt.stats.equivalent_k(search, adapted)
  return { { "BoA", "equivalent K" .. (k.bound and ", bound " .. k.bound or ""), k } }
end

function derived.deficit(pick, part)
  local search, adapted = groups_of(pick("best_of_n", part.where)), groups_of(pick("boa", part.where), chosen)
  search, adapted = same_tasks(search, adapted), same_tasks(adapted, search)
  if #search == 0 then return {} end
  local a, b, d = vt.stats.by_task(search), vt.stats.by_task(adapted), {}
  for i, t in ipairs(a) do
    local other = vt.find(b, function(x) return x.task == t.task end)
    d[i] = 100 * (other.fast_1 - t.fast_1)
  end
  return { { part.label, "points", vt.stats.mean_ci(d) } }
end

function derived.correlations(pick)
  local rows, logprob, speed, length, task = {}, {}, {}, {}, {}
  local samples = that_say(correct_of(groups_of(pick "best_of_n")), "logprob", "log-probability")
  for i, s in ipairs(that_say(samples, "n_tokens", "length in tokens")) do
    logprob[i], speed[i], length[i], task[i] = s.logprob, s.result.speedup_measured, s.n_tokens, s.task.id
  end
  if #speed < 8 then return rows end
  rows[1] = { "logprob, speedup", "rho", vt.stats.spearman(logprob, speed), of = "correct samples" }
  rows[2] = { "logprob, speedup given length", "rho", vt.stats.partial_spearman(logprob, speed, length), of = "correct samples" }
  rows[3] = { "length, speedup", "rho", vt.stats.spearman(length, speed), of = "correct samples" }
  rows[4] = { "logprob, speedup", "rho within tasks", vt.stats.spearman(logprob, speed, { cluster = task, within = true }) }
  return rows
end

function derived.teacher(pick)
  local rows = {}
  for _, context in ipairs { "feedback", "prompt" } do
    local runs = pick("sdpo", { context = context })
    local student = #runs > 0 and charged(runs, "student_tokens") or 0
    if student > 0 then rows[#rows + 1] = { context, "overhead", charged(runs, "teacher_tokens") / student, n = student, of = "tokens" } end
  end
  return rows
end

-- fn(start, chosen) of each task, with the start's share as the row's name: points of a scatter.
local function by_start(pick, quantity, fn)
  local runs, rows = pick "boa", {}
  if #runs == 0 then return rows end
  local start, adapted = groups_of(runs, 0), groups_of(runs, chosen)
  local last = vt.stats.by_task(adapted)
  for _, t in ipairs(vt.stats.by_task(same_tasks(start, adapted))) do
    local other = vt.find(last, function(x) return x.task == t.task end)
    rows[#rows + 1] = { t.fast_1, quantity, fn(t.fast_1, other.fast_1), n = t.n, of = "samples" }
  end
  return rows
end

function derived.coverage(pick) return by_start(pick, "gain", function(a, b) return b - a end) end
function derived.start_against_chosen(pick) return by_start(pick, "chosen step", function(_, b) return b end) end

return derived
