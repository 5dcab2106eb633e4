-- SPDX-License-Identifier: Apache-2.0
--- Warm start: trains the default policy's adapter on verified rewritings of other operations.
--
-- The corpus (experiments/corpus/) draws operations, names and layouts from one seed. An epoch shows every instance under
-- fresh names with `draws` answers, each a variant in a form of its own (corpus/forms.lua). `fast` draws alike from the
-- variants that the evaluator calls faster for sure (from all right ones where none is); `neutral` from all right ones.
-- The unchanged body is the share `copy` of the draws. The answers to one instance share its prompt, so the trainer
-- computes the prompt once. The loss is cross entropy over the body, the closing brace and the end token, averaged over the
-- batch's answer tokens.
--
-- `verify = "engine"` sends every variant through vt.eval first, leaves out what is refused and writes the table of speedups;
-- the default takes the speedups of corpus/measured.lua. A killed run resumes by itself: the same command reads recorded
-- steps and continues from the last state that was kept.
local vt = require "vegttt"
local Corpus = require "corpus"
local Rng = require "corpus.rng"

local END = "<|im_end|>"
local SYNTHETIC = 100000 -- ids of operations that are no KernelBench task start here

-- ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Definitions with a stable id each, and how many instances of each the scale asks for; families left out give none.
local function sources(p)
  local is_left_out, known = {}, {}
  for _, family in ipairs(p.without) do is_left_out[family] = true end
  local out = {}
  for at, d in ipairs(Corpus.definitions()) do
    known[d.family] = true
    if not is_left_out[d.family] then
      out[#out + 1] = { def = d, id = d.l1 or SYNTHETIC + at, n = Corpus.count(d, p.scale) }
    end
  end
  for family in pairs(is_left_out) do
    if not known[family] then vt.refuse("--without %s: the corpus has no such family", family) end
  end
  return out
end

-- Speedups by variant from the table, or from the evaluator: { 1, 3.2, 0 } means the third is not to be trained on.
local function measured_speedups(inst, table_of)
  local text = table_of[inst.op .. "#" .. inst.number]
  if not text then return nil end
  local out = {}
  for word in text:gmatch "%S+" do out[#out + 1] = tonumber(word) end
  return #out == #inst.variants and out or nil
end

-- Above 1 only what the evaluator calls faster for sure; what is right but no more than that stands at 1 or below.
local function label(verdict)
  if not verdict.correct then return 0 end
  return verdict.sure and verdict.speedup or math.min(verdict.speedup, 1)
end

-- Nil for an operation whose own baseline the evaluator does not take.
local function engine_speedups(run, inst)
  local is_sound, verdicts = pcall(function()
    local task = vt.task(inst.document)
    return vt.map(inst.variants, function(v) return vt.eval.one(task, v.body, { protocol = "fast" }) end)
  end)
  if not is_sound then
    if verdicts.code ~= "EFORMAT" then error(verdicts, 0) end
    run:log("unsound", { instance = inst.op .. "#" .. inst.number, problem = verdicts.message })
    return nil
  end
  local out = {}
  for i, verdict in ipairs(verdicts) do out[i] = tonumber(("%.3g"):format(label(verdict))) end
  if out[1] > 0 then out[1] = 1 end
  return out
end

-- What may be trained on: instances whose copy is right and that have another variant worth showing.
local function usable(speedups, floor)
  if not speedups or speedups[1] ~= 1 then return false end
  for i = 2, #speedups do
    if speedups[i] > floor then return true end
  end
  return false
end

local function load_corpus(run, p)
  local by_engine = p.verify == "engine"
  if not by_engine and p.corpus_seed ~= 1 then
    vt.refuse("corpus/measured.lua holds the operations of --corpus_seed 1; another seed needs --verify engine")
  end
  local table_of = by_engine and {} or require "corpus.measured"
  local measured = by_engine and run:table("measured", { "instance", "speedups" })
  local list, n_variants, n_refused, number = {}, 0, 0, 0
  local todo = sources(p)
  while #todo > 0 do -- first instances of all operations, then second ones: a run that is cut off has labelled all alike
    number = number + 1
    local found = vt.map(todo, function(source)
      local inst = Corpus.instance(source.def, p.corpus_seed, number)
      local speedups = by_engine and engine_speedups(run, inst) or measured_speedups(inst, table_of)
      return { def = source.def, number = number, speedups = speedups or false,
        task = { id = source.id, family = source.def.family } }
    end, { limit = 8 })
    for _, item in ipairs(found) do
      if measured and item.speedups then measured:row(item.def.id .. "#" .. number, table.concat(item.speedups, " ")) end
      if usable(item.speedups, p.floor) then
        list[#list + 1] = item
        for _, s in ipairs(item.speedups) do
          n_variants = n_variants + 1
          if s <= p.floor then n_refused = n_refused + 1 end
        end
      end
    end
    local rest = {}
    for _, source in ipairs(todo) do
      if source.n > number then rest[#rest + 1] = source end
    end
    todo = rest
  end
  run:log("corpus", { instances = #list, variants = n_variants, refused = n_refused, seed = p.corpus_seed })
  return list
end

-- ── draws ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The rewritings that may be drawn: those above the floor, of which `fast` takes those that are faster for sure.
local function rewritings(speedups, p)
  local right, fast = {}, {}
  for i = 2, #speedups do
    if speedups[i] > p.floor then right[#right + 1] = i end
    if speedups[i] > 1 then fast[#fast + 1] = i end
  end
  return p.variant == "fast" and #fast > 0 and fast or right
end

-- One group: the instance's prompt under this epoch's names, and p.draws answers drawn with replacement; equal ones count.
local function encode_group(policy, item, epoch, p)
  local rng = Rng.new(p.seed, ("draw/%s#%d/%d"):format(item.def.id, item.number, epoch))
  local inst = Corpus.instance(item.def, p.corpus_seed, item.number, epoch)
  local group = { prompt_ids = policy:encode(Corpus.prompt(inst.signature, inst.variants[1].body), { special = true }) }
  group.n_tokens = #group.prompt_ids
  local shown, at = rewritings(item.speedups, p), {}
  for _ = 1, p.draws do
    local body = rng:chance(p.copy) and inst.variants[1].body or inst.variants[rng:pick(shown)].form(rng)
    if at[body] then
      at[body].count = at[body].count + 1
    else
      local tokens = policy:encode(Corpus.answer(body) .. END, { special = true })
      if #tokens <= p.max_answer then
        at[body] = { tokens = tokens, count = 1, task = item.task }
        group[#group + 1] = at[body]
        group.n_tokens = group.n_tokens + #tokens
      end
    end
  end
  return group
end

-- Batches of about p.batch_tokens: closures that encode an epoch in shuffled order, one after another, for ever.
local function batches(policy, list, p)
  return coroutine.wrap(function()
    for epoch = 1, math.huge do
      local order = {}
      for i = 1, #list do order[i] = i end
      Rng.new(p.seed, "order/" .. epoch):shuffle(order)
      local groups, n = {}, 0
      for _, i in ipairs(order) do
        local g = encode_group(policy, list[i], epoch, p)
        if #g > 0 then
          groups[#groups + 1] = g
          n = n + g.n_tokens
          if n >= p.batch_tokens then
            coroutine.yield { groups = groups, epoch = epoch }
            groups, n = {}, 0
          end
        end
      end
    end
  end)
end

local function answer_tokens(groups)
  local n = 0
  for _, g in ipairs(groups) do
    for _, s in ipairs(g) do n = n + s.count * #s.tokens end
  end
  return n
end

-- ── schedule and held-out instances ──────────────────────────────────────────────────────────────────────────────────

local function learning_rate(p, step)
  local warm = math.min(1, step / p.warmup)
  return p.lr * warm * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - 1) / math.max(1, p.steps - 1))))
end

-- Mean log-probability per answer token on instances that are not trained on: every p.held_every-th of the corpus.
local function held_out_loss(weights, policy, list, p)
  local rows = vt.map(list, function(item)
    local g = encode_group(policy, item, 1, p)
    local sum, n = 0, 0
    for _, s in ipairs(g) do
      sum = sum + weights:score(g.prompt_ids, s.tokens):sum()
      n = n + #s.tokens
    end
    return { sum = sum, n = n }
  end, { limit = 4 })
  local sum, n = 0, 0
  for _, row in ipairs(rows) do sum, n = sum + row.sum, n + row.n end
  return -sum / n
end

local function split_held_out(list, p)
  local train, held = {}, {}
  for i, item in ipairs(list) do
    local is_held = p.held > 0 and i % math.max(1, #list // p.held) == 0 and #held < p.held
    local to = is_held and held or train
    to[#to + 1] = item
  end
  return train, held
end

-- ── experiment ───────────────────────────────────────────────────────────────────────────────────────────────────────

return vt.experiment {
  name = "sft",
  doc = "Train the default adapter on verified optimisations of operations that no evaluation half contains.",
  params = {
    model = { "smollm2-135m", "base model; its adapter, if any, is left aside", type = "model" },
    variant = { "fast", "which rewritings are drawn, all alike", choices = { "fast", "neutral" } },
    copy = { 0.0, "share of the draws that are the unchanged body", min = 0, max = 1 },
    steps = { 800, "optimiser steps", min = 0 },
    lr = { 2e-3, "peak learning rate", min = 0 },
    warmup = { 10, "warm-up steps", min = 1 },
    rank = { 16, "LoRA rank", min = 1 },
    batch_tokens = { 8192, "prompt and answer tokens per step, each prompt once", min = 1 },
    draws = { 3, "draws of a variant per instance and epoch", min = 1 },
    seed = { 1, "seed of order, draws and the adapter's start", min = 0 },
    corpus_seed = { 1, "seed of operations and names" },
    without = { "", "families left out, for transfer to them", list = true },
    scale = { 3, "instances per unit of an operation's weight", min = 1 },
    floor = { 0.85, "variants slower than this are not shown", min = 0 },
    max_answer = { 360, "longer answers are left out", min = 16 },
    verify = { "table", "where speedups come from", choices = { "table", "engine" } },
    held = { 24, "instances kept out to watch the loss", min = 0 },
    watch = { 25, "steps between looks at them", min = 1 },
    out = { "", "folder for the trained adapter; empty = below the run" },
  },

  main = function(run, p)
    local policy = p.steps > 0
      and vt.policy(p.model, { rank = p.rank, alpha = 2 * p.rank, reset = true, seed = p.seed }):need("update", "score")
    run:stage("corpus")
    local train, held = split_held_out(load_corpus(run, p), p)
    if p.steps == 0 then return { instances = #train + #held } end
    local curve = run:table("loss", { "step", "loss", "held_out" })
    local next_batch = batches(policy, train, p)
    local loss, n_tokens, watched = 0, 0, 0
    for step = 1, p.steps do
      run:stage(("step %d of %d"):format(step, p.steps))
      local b = next_batch()
      local n = answer_tokens(b.groups)
      for _, g in ipairs(b.groups) do
        for _, s in ipairs(g) do s.advantage = s.count / n end
      end
      local lr = learning_rate(p, step)
      local u = policy:update(vt.batch(b.groups), { lr = lr, loss = "cross_entropy", grad_clip = 1.0 })
      loss, n_tokens = u.loss, n_tokens + u.n_tokens
      if #held > 0 and (step % p.watch == 0 or step == p.steps) then
        watched = held_out_loss(u.weights, policy, held, p)
        curve:row(step, loss, watched)
      end
      run:log("step", { step = step, epoch = b.epoch, lr = lr, loss = loss, held_out = watched, n_tokens = u.n_tokens,
        grad_norm = u.grad_norm })
    end
    local dir = p.out ~= "" and p.out or run.dir .. "/adapter"
    policy:snapshot("final"):save(dir, { dtype = "bf16" })
    run:plot("loss", { kind = "line", data = curve, x = "step", y = "loss" })
    return { loss = loss, held_out = watched, n_tokens = n_tokens, instances = #train }
  end,
}
