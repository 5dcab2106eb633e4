-- SPDX-License-Identifier: Apache-2.0
--
-- The LoRA update: batches, policy:update, and its replay; what it makes, as files.
--
-- An update is forward (log-probabilities under the weights it starts from), weights per token (a built-in loss or a Lua
-- function of the sequence), step. Under a built-in loss it is one request, which a server computes whole. Its identity
-- is the parent weights, the ordered batch, the loss and every optimiser field; when the journal knows that identity the
-- new weights are only named, not computed. One update runs at a time per model.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local task_families = require "vegttt.families"
local identity = require "vegttt.identity"
local policy = require "vegttt.policy"
local record = require "vegttt.record"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local update = {}

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

---Sequences to train on, from groups of samples with .advantage: a number, or one value per token; with .targets, as many
---ids at each position, one per target, which is the target's weight in the loss cross_entropy.
function update.batch(of, o)
  errors.options("vt.batch", o, {})
  local task = sched.current()
  local run = task and task.run
  local seqs, list = {}, groups.list("vt.batch", of)
  -- Groups in which nothing is better than anything else cost tokens and teach nothing. When all are such, they stay:
  -- the update then says so.
  local some_teach = false
  for _, g in ipairs(list) do some_teach = some_teach or not rawget(g, "dropped") end
  for _, g in ipairs(list) do
    local is_left_out = some_teach and rawget(g, "dropped")
    for i, s in ipairs(g) do
      check_sample(s, g, i)
      local a = s.advantage
      seqs[#seqs + 1] = not is_left_out and { prompt = policy.prompt_of(s, g), tokens = s.tokens, targets = s.targets,
        logq = not s.targets and s.logprobs or nil, logq_behaviour = s.logprobs_behaviour, advantage = type(a) == "table" and core.vector(a)
        or a, sample = s, task = s.task or g.task } or nil
      if run and s.key then
        run.record:amend_sample(s.key, { reward = s.reward, advantage = type(a) == "number" and a or nil,
          dropped = rawget(g, "dropped") })
      end
    end
  end
  if #seqs == 0 then errors.misuse("vt.batch", "vt.batch: the groups hold no samples") end
  return setmetatable({ seqs = seqs }, Batch)
end

-- A function may also look at the sampler's other log-probabilities and at the reward.
local function digest_of(model, seqs, is_function)
  local rows = {}
  for i, q in ipairs(seqs) do
    q.prompt_ids = policy.prompt_tokens(model, q.prompt, "policy:update")
    rows[i] = { prompt = core.array(q.prompt_ids), tokens = core.array(q.tokens), logq = q.logq or false,
      advantage = q.advantage, targets = q.targets and core.array(q.targets) or nil }
    if is_function then
      rows[i].logq_behaviour, rows[i].reward = q.logq_behaviour or false, rawget(q.sample, "reward") or false
    end
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
      local family = task_families.of(t.family)
      if not have[family] then families[#families + 1] = family end
      have[family] = true
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
local losses = core.losses -- their defaults, by name
local no_loss_of_ours = losses.importance_sampling

-- Options that the arithmetic holds in single precision: what they must be, by name.
local function check_numbers(o)
  local function refuse(name, must)
    errors.misuse("policy:update", "policy:update: %s must be %s, not %g", name, must, o[name])
  end
  for _, name in ipairs { "lr", "clip_lo", "clip_hi", "beta", "grad_clip", "floor", "weight_decay" } do
    local v = o[name]
    local is_no_clip = name == "clip_hi" and v == math.huge
    if v and not is_no_clip and (v ~= v or math.abs(v) > 0x1.fffffep127) then
      refuse(name, "a finite number of single precision")
    end
    if v and v ~= 0 and math.abs(v) < 0x1p-149 then refuse(name, "0 or what single precision does not hold as 0") end
    if v and v < 0 and name ~= "floor" then refuse(name, "0 or more") end
  end
  if o.clip_lo > o.clip_hi then refuse("clip_lo", ("at most clip_hi, which is %g"):format(o.clip_hi)) end
end

local function resolve_options(self, o)
  o = errors.options("policy:update", o, option_kinds)
  local loss = o.loss or "importance_sampling"
  if type(loss) ~= "function" and not losses[loss] then
    errors.misuse("policy:update", "policy:update: unknown loss '%s'%s", tostring(loss),
      errors.hint(tostring(loss), errors.keys(losses)))
  end
  local defaults = losses[loss] or no_loss_of_ours -- a function's options are its own
  local out = { lr = o.lr or self.record.lr, loss = loss, ratio = o.ratio or "raw",
    clip_lo = o.clip_lo or defaults.clip_lo, clip_hi = o.clip_hi or defaults.clip_hi, beta = o.beta or defaults.beta,
    epochs = o.epochs or 1, minibatch = o.minibatch, grad_clip = o.grad_clip or 0, floor = o.floor,
    weight_decay = o.weight_decay or 0 }
  if type(out.lr) ~= "number" then
    errors.misuse("policy:update", "policy:update: lr must be a number, 0 or more")
  end
  check_numbers(out)
  if out.epochs < 1 then errors.misuse("policy:update", "policy:update: epochs must be at least 1") end
  if out.minibatch and out.minibatch < 1 then
    errors.misuse("policy:update", "policy:update: minibatch must be at least 1")
  end
  if type(loss) == "function" and not self.caps.custom_loss then
    errors.misuse("policy:update", "policy:update: %s trains on its server's losses only (%s)", self.spec,
      table.concat(errors.keys(losses), ", "))
  end
  if out.floor and not self.caps.agreement then
    errors.misuse("policy:update", "policy:update: floor needs the agreement of half batches, which %s does not measure",
      self.spec)
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

-- A loss function that updates would wait for the update that it is a part of.
local function refuse_within(task, model)
  while task do
    if task == model.trainer then
      errors.misuse("policy:update", "policy:update was called inside the loss function of another update of this model")
    end
    task = task.parent
  end
end

local function lock(model)
  refuse_within(sched.current(), model)
  while model.training do sched.await(model.training, "policy:update") end
  local mine = sched.future()
  model.training, model.trainer = mine, sched.current()
  return function()
    if model.training == mine then model.training, model.trainer = nil, nil end
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
  return { lr = o.lr, grad_clip = o.grad_clip, weight_decay = o.weight_decay, clip_lo = o.clip_lo, clip_hi = o.clip_hi,
    beta = o.beta, digest = piece.identity, trained_on = piece.trained_on }
end

local function made(info, more) return { info = info, more = more } end

-- The update as one request. wait(op, then_do) waits for an operation; keep(train) takes what must be forgotten.
local function whole(parent, piece, o, rows, wait, keep)
  local op, train = core.update(parent.handle, rows, o.loss, c_options(piece, o))
  keep(train)
  local result = wait(op, made)
  return result.info, core.train_stats(train), result.more
end

-- Forward, weights, step. No weights when the batch is below the floor.
local function in_halves(parent, piece, o, rows, wait, keep)
  local op, train = core.forward(parent.handle, rows, o.floor ~= nil)
  keep(train)
  wait(op, function() return true end)
  fill_weights(train, piece.seqs, o)
  local stats = core.train_stats(train)
  if o.floor and stats.rms_advantage < o.floor then return nil, stats, {} end
  local result = wait(core.step(train, c_options(piece, o)), made)
  local agreement = result.more.agreement
  local is_weak = o.floor and agreement == agreement and agreement < o.floor
  return not is_weak and result.info or nil, stats, result.more
end

-- Returns what the C half made (nil when the step was skipped) and the report's numbers. Whoever gives up on the way (an
-- error, a timeout) leaves nothing behind: the request is cancelled, its tape forgotten, and the lock goes when it ends.
local function compute(model, parent, piece, o)
  local unlock = lock(model)
  local running, train, is_abandoned
  local function wait(op, then_do)
    running = op
    return sched.await(sched.start(op, then_do, function()
      running = nil
      if is_abandoned then unlock() end
    end), "policy:update")
  end
  local function work()
    local rows = {}
    for i, q in ipairs(piece.seqs) do
      rows[i] = { prompt = q.prompt_ids, tokens = q.tokens, targets = q.targets, logq = q.logq, advantage = q.advantage }
    end
    local update = type(o.loss) == "string" and not o.floor and whole or in_halves
    local info, stats, more = update(parent, piece, o, rows, wait, function(t) train = t end)
    for k, v in pairs(more) do stats[k] = v end
    return { info = info, stats = stats }
  end
  local ok, result = pcall(work)
  if train then core.train_forget(train) end
  is_abandoned = running ~= nil
  if running then core.cancel(running) else unlock() end
  if not ok then error(result, 0) end
  return result
end

local Report = closed.class("vt.UpdateReport", "an update's report", { "weights", "loss", "n_tokens", "grad_norm",
  "rms_advantage", "max_advantage", "ess", "kl_sample_train", "agreement", "skipped" })

local function report_of(stats, w, is_skipped)
  local agreement = stats.agreement
  return { weights = w, loss = stats.loss, n_tokens = stats.n_tokens, grad_norm = stats.grad_norm or 0,
    rms_advantage = stats.rms_advantage, max_advantage = stats.max_advantage, ess = stats.ess,
    kl_sample_train = stats.kl_sample_train, agreement = agreement == agreement and agreement or nil,
    skipped = is_skipped }
end

-- The update, paid for: the service trains on every token, and reads it once more where the loss is computed here.
local function paid_compute(run, model, parent, piece, o)
  local n, in_halves_too = 0, type(o.loss) == "function" or o.floor
  for _, q in ipairs(piece.seqs) do n = n + #q.prompt_ids + #q.tokens end
  local tokens = { trained = n, prefill = in_halves_too and n or nil }
  return run:spend_on(model.spec, tokens, "policy:update", function(pay)
    local result = compute(model, parent, piece, o)
    pay(tokens)
    return result
  end)
end

local function fresh_step(run, model, parent, piece, o, key)
  run.checkpoints:ready(parent, true)
  sched.gate "policy:update"
  local result = paid_compute(run, model, parent, piece, o)
  local info, stats = result.info, result.stats
  local w = parent
  if info then
    w = policy.weights(model, info)
    w.is_trained = true
  end
  local report = report_of(stats, nil, info == nil)
  -- Where weights cannot be made again the state is kept before anybody can know their name.
  if info then run.checkpoints:made(w) end
  run.record:put(key, { id = w.id, step = w.step, trained_on = w.trained_on, report = report })
  run.progress:add_update()
  core.run_sync(run.handle)
  collectgarbage() -- states that nobody holds any more are tens of megabytes which Lua does not see
  report.weights = w
  return report
end

local function one_step(run, model, parent, seqs, o)
  local piece = { seqs = seqs, trained_on = trained_on(seqs) }
  -- What a function does can hang on more than it closes over: its updates are its run's own.
  local is_function = type(o.loss) == "function"
  local loss = is_function and identity.of(o.loss) .. run.id or o.loss
  piece.identity = record.hash { batch = digest_of(model, seqs, is_function), loss = loss, ratio = o.ratio,
    clip_lo = o.clip_lo, clip_hi = o.clip_hi, beta = o.beta }
  local key = ("update/%s/%s"):format(parent.id, record.hash { piece.identity, o.lr, o.grad_clip, o.weight_decay,
    o.floor or false, model.lora })
  local recipe = { parent = parent }
  function recipe.again(w)
    local result = paid_compute(run, model, parent, piece, o)
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

local function are_zero(seqs)
  for _, q in ipairs(seqs) do
    local a = q.advantage
    if type(a) == "number" then
      if a ~= 0 then return false end
    else
      for i = 1, #a do
        if a[i] ~= 0 then return false end
      end
    end
  end
  return true
end

-- A teacher that is the student, or rewards that are all alike, leave nothing to learn: that is seldom what was meant. A
-- loss that is a multiple of the advantage has no gradient then, and what an optimiser would still do (decay, the moments
-- of earlier steps) is no learning from this batch: no step is taken. Returns the report of that, or nil.
local function nothing_asked(run, weights, seqs, o)
  if not are_zero(seqs) then return nil end
  local takes_a_step = type(o.loss) == "function" or o.loss == "dro"
  local line = ("policy:update: all advantages of the %d sequences are 0, so there is nothing to learn from them%s"):format(
    #seqs, takes_a_step and "" or "; no step is taken and the weights stay what they are")
  core.err(("vegttt: %s\n"):format(line))
  run:note(line)
  if takes_a_step then return nil end
  run.progress:add_update(true)
  return { weights = weights, loss = 0, n_tokens = 0, grad_norm = 0, rms_advantage = 0, max_advantage = 0,
    skipped = true }
end

local Policy = policy.class

---policy:update(batch, o): trains on the batch and moves the policy to the new weights.
-- Whole updates of a policy come one after the other: each starts from the weights that the one before it made. One that
-- fails on the way leaves the policy where it was; steps that were done by then are kept, and charged.
local function take_turn(self)
  refuse_within(sched.current(), self.model)
  while self.updating do sched.await(self.updating, "policy:update") end
  local mine = sched.future()
  self.updating = mine
  return function()
    self.updating = nil
    mine:settle(true)
  end
end

-- Steps of minibatches and epochs from the policy's weights on; the last one's report. The policy stays where it is: it
-- moves when all of them are done.
local function all_steps(self, run, seqs, o)
  local n, size, weights, report = #seqs, o.minibatch or #seqs, self.weights, nil
  for _ = 1, o.epochs do
    for first = 1, n, size do
      local some = table.move(seqs, first, math.min(first + size - 1, n), 1, {})
      report = nothing_asked(run, weights, some, o) or one_step(run, self.model, weights, some, o)
      weights = report.weights
    end
  end
  return report
end

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
  local give_turn = take_turn(self)
  local ok, report = pcall(all_steps, self, run, batch.seqs, o)
  if ok then self.weights = report.weights end
  give_turn()
  if not ok then error(report, 0) end
  return setmetatable(report, Report)
end

-- ── states on disk ───────────────────────────────────────────────────────────────────────────────────────────────────

local snapshot_kinds = { f32 = "exact", bf16 = "export" }

---Writes the weights' state to a folder, as sampling needs it: PEFT files and a sidecar. options.dtype: "f32", the
---default, keeps the values that run; "bf16" halves the files, and where it rounds they are other weights, of another
---id. [waits]
function policy.weights_methods:save(dir, options)
  if type(dir) ~= "string" then
    errors.misuse("weights:save", "weights:save needs a folder name, not a %s", type(dir))
  end
  local dtype = "f32"
  for name, value in pairs(options or {}) do
    if name ~= "dtype" then errors.misuse("weights:save", "weights:save has no option '%s'", tostring(name)) end
    dtype = value
  end
  local kind = snapshot_kinds[dtype]
  if not kind then
    errors.misuse("weights:save", "weights:save: dtype is \"f32\" or \"bf16\", not '%s'", tostring(dtype))
  end
  sched.gate "weights:save"
  policy.ready(self)
  sched.await(sched.start(core.weights_save(self.handle, dir, kind), function() return true end), "weights:save")
end

return update
