-- SPDX-License-Identifier: Apache-2.0
--
-- The LoRA update: batches, policy:update, and its replay.
--
-- An update is forward (log-probabilities under the current weights), weights per token (a built-in loss or a Lua
-- function of the sequence), step. Its identity is the parent weights, the ordered batch, the loss and every optimiser
-- field; when the journal knows that identity the new weights are only named, not computed. One update runs at a time
-- per model.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local policy = require "vegttt.policy"
local record = require "vegttt.record"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local update = {}
local getupvalue = debug.getupvalue -- scripts lose the debug library

-- ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local Batch = closed.class("vt.Batch", "a batch", { "seqs" })
function Batch:__tostring() return ("batch of %d sequences"):format(#self) end
function Batch:__len() return #self.seqs end

local function check_sample(s, g, i)
  if type(s) ~= "table" or type(s.tokens) ~= "table" then
    errors.misuse("vt.batch", "vt.batch: element %d of a group is not a sample", i)
  end
  if s.advantage == nil then
    errors.misuse("vt.batch", "vt.batch: sample %d has no advantage; call vt.advantage.batch_z{}(groups) or set it", i)
  end
  if not (s.prompt_ids or g.prompt_ids or g.prompt or s.prompt) then
    errors.misuse("vt.batch", "vt.batch: group has no prompt")
  end
end

---Sequences to train on, from groups of samples with .advantage (a number, or one value per token).
function update.batch(of, o)
  errors.options("vt.batch", o, {})
  local task = sched.current()
  local run = task and task.run
  local seqs = {}
  for _, g in ipairs(groups.list("vt.batch", of)) do
    for i, s in ipairs(g) do
      check_sample(s, g, i)
      local a = s.advantage
      seqs[#seqs + 1] = { prompt = s.prompt_ids or g.prompt_ids or s.prompt or g.prompt, tokens = s.tokens,
        logq = s.logprobs, logq_behaviour = s.logprobs_behaviour, advantage = type(a) == "table" and core.vector(a)
        or a, sample = s, task = s.task or g.task }
      if run and s.key then
        run.record:amend_sample(s.key, { reward = s.reward, advantage = type(a) == "number" and a or nil })
      end
    end
  end
  if #seqs == 0 then errors.misuse("vt.batch", "vt.batch: the groups hold no samples") end
  return setmetatable({ seqs = seqs }, Batch)
end

local function digest_of(model, seqs)
  local rows = {}
  for i, q in ipairs(seqs) do
    q.prompt_ids = policy.prompt_tokens(model, q.prompt, "policy:update")
    rows[i] = { prompt = core.array(q.prompt_ids), tokens = core.array(q.tokens), logq = q.logq or false,
      advantage = q.advantage }
  end
  return record.hash(core.array(rows))
end

-- { tasks, families } of a batch, merged into the new weights' record.
local function trained_on(seqs)
  local tasks, families, have = core.array {}, core.array {}, {}
  for _, q in ipairs(seqs) do
    local t = q.task
    if t and not have[t.id] then
      have[t.id] = true
      tasks[#tasks + 1] = t.id
      if not have[t.family] then families[#families + 1] = t.family end
      have[t.family] = true
    end
  end
  table.sort(tasks)
  table.sort(families)
  return core.json_encode { tasks = tasks, families = families }
end

-- ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local option_kinds = { lr = "number", loss = "any", ratio = { "raw", "tempered" }, clip_lo = "number",
  clip_hi = "number", epochs = "integer", minibatch = "integer", grad_clip = "number", floor = "number",
  weight_decay = "number", beta = "number" }
local losses = { importance_sampling = true, ppo = true, cispo = true, dro = true, cross_entropy = true }

-- A loss function's identity: its code and the plain values it closes over.
local function function_digest(fn)
  local parts = { core.sha256(string.dump(fn, true)) }
  for i = 1, 60 do
    local name, v = getupvalue(fn, i)
    if not name then break end
    local kind = type(v)
    if kind == "number" or kind == "string" or kind == "boolean" then parts[#parts + 1] = name .. "=" .. tostring(v) end
  end
  return table.concat(parts, ";")
end

local function resolve_options(self, o)
  o = errors.options("policy:update", o, option_kinds)
  local loss = o.loss or "importance_sampling"
  if type(loss) ~= "function" and not losses[loss] then
    errors.misuse("policy:update", "policy:update: unknown loss '%s'%s", tostring(loss),
      errors.hint(tostring(loss), errors.keys(losses)))
  end
  local out = { lr = o.lr or self.record.lr, loss = loss, ratio = o.ratio or "raw", clip_lo = o.clip_lo or 0.8,
    clip_hi = o.clip_hi or 1.2, beta = o.beta or 0.05, epochs = o.epochs or 1, minibatch = o.minibatch,
    grad_clip = o.grad_clip or 0, floor = o.floor, weight_decay = o.weight_decay or 0 }
  if type(out.lr) ~= "number" or out.lr < 0 then
    errors.misuse("policy:update", "policy:update: lr must be a number, 0 or more")
  end
  if out.epochs < 1 then errors.misuse("policy:update", "policy:update: epochs must be at least 1") end
  if out.minibatch and out.minibatch < 1 then
    errors.misuse("policy:update", "policy:update: minibatch must be at least 1")
  end
  return out
end

-- Ratios divide like by like: the trainer's log-probabilities are at T = 1, so the sampler's must be too.
local function check_ratio(o, seqs)
  if o.ratio == "raw" then return end
  for _, q in ipairs(seqs) do
    local t = q.sample and q.sample.temperature
    if t and t ~= 1 then
      errors.misuse("policy:update",
        "policy:update: ratio = \"tempered\" at temperature %g would divide a T = 1 trainer by a tempered sampler; "
        .. "this backend trains at T = 1, use ratio = \"raw\"", t)
    end
  end
end

-- ── one step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function lock(model)
  while model.training do sched.await(model.training, "policy:update") end
  local mine = sched.future()
  model.training = mine
  return function()
    if model.training == mine then model.training = nil end
    mine:settle(true)
  end
end

local function fill_weights(train, seqs, o)
  if type(o.loss) ~= "function" then return core.train_loss(train, o.loss, o) end
  for i, q in ipairs(seqs) do
    local logp = core.train_logp(train, i)
    local w = o.loss { logp = logp, logq = q.logq, logq_behaviour = q.logq_behaviour, advantage = q.advantage,
      tokens = q.tokens, sample = q.sample }
    if type(w) ~= "table" and not core.is_vector(w) then
      errors.misuse("policy:update",
        "policy:update: the loss function returned a %s; it must return a vector of weights, one per token", type(w))
    end
    core.train_set(train, i, w)
  end
end

local function c_options(piece, o)
  return { lr = o.lr, grad_clip = o.grad_clip, weight_decay = o.weight_decay, digest = piece.identity,
    trained_on = piece.trained_on }
end

-- Forward, loss, step. Returns what core.step gave (nil when the step was skipped) and the report's numbers.
local function compute(model, parent, piece, o)
  local unlock = lock(model)
  local stepping = false
  local function work()
    core.policy_set(model.handle, parent.handle)
    local rows = {}
    for i, q in ipairs(piece.seqs) do
      rows[i] = { prompt = q.prompt_ids, tokens = q.tokens, logq = q.logq, advantage = q.advantage }
    end
    local forward, train = core.forward(model.handle, rows, o.floor ~= nil)
    sched.await(sched.start(forward, function() return true end), "policy:update")
    fill_weights(train, piece.seqs, o)
    local stats = core.train_stats(train)
    if o.floor and stats.rms_advantage < o.floor then
      core.train_forget(train)
      return { stats = stats }
    end
    stepping = true
    local future = sched.start(core.step(train, c_options(piece, o)), function(info, more)
      for k, v in pairs(more) do stats[k] = v end
      local is_weak = o.floor and stats.agreement == stats.agreement and stats.agreement < o.floor
      if is_weak then core.policy_set(model.handle, parent.handle) end
      return { info = not is_weak and info or nil, stats = stats }
    end, unlock)
    return sched.await(future, "policy:update")
  end
  local ok, result = pcall(work)
  if not stepping then unlock() end
  if not ok then error(result, 0) end
  return result
end

local function report_of(stats, w, is_skipped)
  local agreement = stats.agreement
  return { weights = w, loss = stats.loss, n_tokens = stats.n_tokens, grad_norm = stats.grad_norm or 0,
    rms_advantage = stats.rms_advantage, max_advantage = stats.max_advantage, ess = stats.ess,
    kl_sample_train = stats.kl_sample_train, agreement = agreement == agreement and agreement or nil,
    skipped = is_skipped }
end

local function fresh_step(run, model, parent, piece, o, key)
  run.checkpoints:ready(parent, true)
  sched.gate "policy:update"
  local result = compute(model, parent, piece, o)
  local info, stats = result.info, result.stats
  local w = parent
  if info then
    w = policy.weights(model, info)
    w.is_trained = true
  end
  local report = report_of(stats, nil, info == nil)
  run.record:put(key, { id = w.id, step = w.step, trained_on = w.trained_on, report = report })
  if info then run.checkpoints:made(w) end
  run.progress:add_update()
  core.run_sync(run.handle)
  collectgarbage() -- states that nobody holds any more are tens of megabytes which Lua does not see
  report.weights = w
  return report
end

local function one_step(run, model, parent, seqs, o)
  local piece = { seqs = seqs, trained_on = trained_on(seqs) }
  local loss = type(o.loss) == "function" and function_digest(o.loss) or o.loss
  piece.identity = record.hash { batch = digest_of(model, seqs), loss = loss, ratio = o.ratio, clip_lo = o.clip_lo,
    clip_hi = o.clip_hi, beta = o.beta }
  local key = ("update/%s/%s"):format(parent.id, record.hash { piece.identity, o.lr, o.grad_clip, o.weight_decay,
    o.floor or false })
  local recipe = { parent = parent }
  function recipe.again(w)
    local result = compute(model, parent, piece, o)
    if not result.info or result.info.id ~= w.id then
      errors.raise("infrastructure", "policy:update",
        "an update made again gave other weights than the recorded ones; use --fresh")
    end
    w.handle = result.info.handle
  end
  local known = run.record:get(key)
  local report
  if known then
    local w = known.report.skipped and parent or policy.recorded_weights(model, known.id, known.step, known.trained_on,
      recipe)
    if not known.report.skipped then run.checkpoints:passed(w) end
    report = known.report
    report.weights = w
    run.progress:add_update(true)
  else
    report = fresh_step(run, model, parent, piece, o, key)
  end
  local cost = { update_tokens = report.n_tokens }
  run:charge(cost)
  run.meter:spend(cost)
  return report
end

local Policy = policy.class

---policy:update(batch, o): trains on the batch and moves the policy to the new weights.
function Policy:update(batch, o)
  sched.need "policy:update"
  local run = session.run "policy:update"
  if not self.caps.update then
    errors.misuse("policy:update", "%s cannot be updated: its backend only samples", self.spec)
  end
  if getmetatable(batch) ~= Batch then
    errors.misuse("policy:update", "policy:update needs a batch (vt.batch(groups)), not a %s", type(batch))
  end
  o = resolve_options(self, o)
  check_ratio(o, batch.seqs)
  local n, size = #batch.seqs, o.minibatch or #batch.seqs
  local report
  for _ = 1, o.epochs do
    for first = 1, n, size do
      local seqs = table.move(batch.seqs, first, math.min(first + size - 1, n), 1, {})
      report = one_step(run, self.model, self.weights, seqs, o)
      self.weights = report.weights
    end
  end
  return report
end

return update
