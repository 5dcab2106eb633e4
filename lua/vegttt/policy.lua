-- SPDX-License-Identifier: Apache-2.0
--
-- Policies and weights: the sampler, and names for every state of the weights. What weights say of given tokens is in
-- policy_score.lua.
--
-- Weights are immutable and named by their hash chain. A group's seed and label come from run seed, task, weights step
-- and the call's draw label; a sample is number i of its group, and its key adds the weights, the prompt and the
-- parameters. A sample whose key is recorded is answered from the record, one that another run of this machine drew from
-- the content store, and only the rest is drawn. A server that takes no seeds draws the rest anew: such lines name the
-- request they came from. Weights that came back from a record get their backend state when somebody first needs it
-- (checkpoints.lua knows how), so replaying ten recorded steps loads at most one adapter.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local families = require "vegttt.families"
local inputs = require "vegttt.inputs"
local prompts = require "vegttt.prompts"
local record = require "vegttt.record"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local policy = {}

local Policy, Weights = {}, {} -- methods
local policy_class = closed.class("vt.Policy", "a policy", { "model", "spec", "caps", "record", "weights",
  "updating" }, Policy)
local weights_class = closed.class("vt.Weights", "weights", { "id", "step", "trained_on", "model", "handle", "recipe",
  "is_trainable", "is_trained", "folder" }, Weights)

function policy_class:__tostring() return ("policy %s"):format(self.spec) end
function weights_class:__tostring()
  return ("weights %s step %d (%s…)"):format(self.model.spec, self.step, self.id:sub(1, 8))
end

-- ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local targets = { q = 1, k = 2, v = 4, o = 8, gate = 16, up = 32, down = 64, unembed = 128 }

local function target_bits(names)
  local bits = 0
  for _, name in ipairs(names or {}) do
    if not targets[name] then
      errors.misuse("vt.policy", "vt.policy: unknown target '%s'%s", name, errors.hint(name, errors.keys(targets)))
    end
    bits = bits | targets[name]
  end
  return bits
end

local TrainedOn = closed.record_class("weights.trained_on", { "tasks", "families" })

-- What weights were trained on, families in the tasks' words: an adapter names those of the corpus it was trained on.
local function in_task_words(trained_on)
  local out, known = {}, {}
  for _, name in ipairs(trained_on.families or {}) do
    local family = families.of(name)
    if not known[family] then
      known[family] = true
      out[#out + 1] = family
    end
  end
  table.sort(out)
  trained_on.families = trained_on.families and core.array(out)
  return setmetatable(trained_on, TrainedOn)
end

---A Weights object around what the C half returned.
function policy.weights(model, info)
  if model.known[info.id] then return model.known[info.id] end
  local w = setmetatable({ id = info.id, step = info.step, model = model, handle = info.handle, is_trainable = true,
    trained_on = in_task_words(core.json_decode(info.trained_on ~= "" and info.trained_on or "{}", "trained_on")) },
    weights_class)
  model.known[w.id] = w
  return w
end

---Weights that a record names: the backend state comes later. recipe: how to make them again.
function policy.recorded_weights(model, id, step, trained_on, recipe)
  if not model.known[id] then
    model.known[id] = setmetatable({ id = id, step = step, model = model, recipe = recipe,
      trained_on = in_task_words(trained_on), is_trained = true }, weights_class)
  end
  return model.known[id]
end

-- What options make of a fresh adapter, as text: part of what an update's record is found by. nil: nothing was said.
local function lora_of(opts)
  if not (opts.rank or opts.alpha or opts.seed) and opts.targets == 0 then return nil end
  return core.json_encode { rank = opts.rank, alpha = opts.alpha, targets = opts.targets, seed = opts.seed }
end

local open_models = {} -- key -> model
local openings = {} -- key -> future of a model

-- MODEL of MODEL+ADAPTER.
local function plain_spec(spec)
  if core.exists(spec) then return spec end
  return spec:match "^(.*)%+[^+]*$" or spec
end

-- The folder of ADAPTER, or nil.
local function adapter_of(spec)
  local name = not core.exists(spec) and spec:match "%+([^+]*)$"
  if not name then return nil end
  return core.is_dir(name) and name or core.find("experiments/adapters/" .. name) or name
end

-- A model of the process: a cell of a sweep asks its parent for the handle. opened(handle, info) makes the future's value.
local function begin_opening(spec, opts, opened, ended)
  if not core.in_cell then
    local op = core.policy_open(spec, opts)
    sched.stop_at_interrupt(op) -- nobody waits for a download that he does not want any more
    return sched.start(op, opened, ended, function(_, line) core.err(line .. "\n") end)
  end
  return sched.ask(function(handle, info)
    ended()
    return opened(handle, info)
  end, ended, "open", spec, opts)
end

local function open_model(spec, opts)
  local asked = core.json_encode(opts)
  opts.trace_http = session.flags.trace_http
  local key = spec .. asked
  if open_models[key] then return open_models[key] end
  for _, model in pairs(open_models) do -- under another name
    if model.spec == spec and model.asked == asked then return model end
  end
  if not openings[key] then
    sched.gate("vt.policy", true)
    openings[key] = begin_opening(spec, opts, function(handle, info)
      local model = { handle = handle, info = info, spec = info.spec, asked = asked, lora = lora_of(opts), plain_spec = plain_spec(info.spec),
        caps = closed.record("caps", closed.copy(info.caps), errors.keys(info.caps)), known = setmetatable({}, { __mode = "v" }), byte_lengths = {},
        record = core.json_decode(info.record, "the model record") }
      model.base = policy.weights(model, core.policy_weights(handle, "base"))
      model.start = policy.weights(model, core.policy_weights(handle, "start"))
      open_models[key] = model
      return model
    end, function() openings[key] = nil end)
  end
  return sched.await(openings[key], "vt.policy")
end

---handle and description of a model, for the state of a cell. [waits]
function policy.open_shared(spec, opts)
  local model = open_model(spec, opts)
  return model.handle, model.info
end

-- A model's files by content; of a model that is known by name or served, the name.
local function model_digest(spec)
  local function of(path)
    if core.is_dir(path) then return inputs.folder_digest(path) end
    return core.exists(path) and inputs.file_digest(path) or "by name"
  end
  local adapter = adapter_of(spec)
  return adapter and core.sha256(of(plain_spec(spec)) .. "+" .. of(adapter)) or of(spec)
end
inputs.declare("model", "the model %s", model_digest)

---vt.policy(spec, o) [waits]
function policy.open(spec, o)
  sched.need "vt.policy"
  if type(spec) ~= "string" or spec == "" then
    errors.misuse("vt.policy", "vt.policy needs a model spec, e.g. \"default\", not a %s", type(spec))
  end
  o = errors.options("vt.policy", o, { rank = "integer", alpha = "number", targets = "table", seed = "integer",
    optimizer = { "fresh", "stored" }, reset = "boolean" })
  if o.rank then errors.number("vt.policy", "rank", o.rank, 1, 1024, true) end
  if o.alpha and not (errors.number("vt.policy", "alpha", o.alpha, 0, 1e6) > 0) then
    errors.misuse("vt.policy", "vt.policy: alpha must be above 0")
  end
  if o.targets and #o.targets == 0 then
    errors.misuse("vt.policy", "vt.policy: targets names no part of the model; known: %s", table.concat(errors.keys(targets), ", "))
  end
  local done = session.run("vt.policy").progress:doing(
    ("opening the model %s: fetching it where it is not here yet, reading and packing its weights"):format(spec))
  local ok, model = pcall(open_model, spec, { rank = o.rank, alpha = o.alpha, targets = target_bits(o.targets), seed = o.seed,
    reset = o.reset, stored_optimizer = o.optimizer == "stored", max_memory = session.flags.max_memory, chat = session.flags.chat })
  done()
  if not ok then
    inputs.note("model", spec, model_digest(spec)) -- a script may go on without it
    if errors.is(model) and model.kind ~= "usage" then inputs.note_unrepeatable("vt.policy of " .. spec) end
    error(model, 0)
  end
  inputs.note("model", model.spec, model_digest(model.spec))
  inputs.note("numerics", model.spec, core.numerics())
  session.run("vt.policy"):uses_model(model.spec, spec, model.start.id, model.record)
  return setmetatable({ model = model, spec = model.spec, caps = model.caps, record = model.record, weights = model.start }, policy_class)
end

function Policy:base() return self.model.base end
function Policy:start() return self.model.start end

---The current weights. Their state is kept in the run, so that a resumed run need not train them again. [waits]
function Policy:snapshot(name)
  local run, w = session.run "policy:snapshot", self.weights
  name = name or "step" .. w.step
  if type(name) ~= "string" then
    errors.misuse("policy:snapshot", "policy:snapshot: the name must be a string, not a %s", type(name))
  end
  run.checkpoints:keep(w)
  run.record:put("snapshot/" .. name, { id = w.id, step = w.step })
  return w
end

-- Weights equal to w of which the server has a model of its own; w itself where the backend keeps every state. Recorded
-- weights without a state get a model of their own when they are loaded.
local function apart(w)
  if not w.model.caps.branch_makes_model or not w.handle then return w end
  local info = sched.await(sched.start(core.branch(w.handle), function(info) return info end), "policy:branch")
  local copy = setmetatable({}, weights_class)
  for k, v in pairs(w) do copy[k] = v end
  copy.handle = info.handle
  return copy
end

---A policy that trains on from any weights, of this run or of a recorded one. A recorded state whose optimiser is gone
---begins with a fresh one. [waits where the backend makes a model, and for recorded states]
function Policy:branch(w)
  if not policy.is_weights(w) or w.model.base.id ~= self.model.base.id then
    errors.misuse("policy:branch", "policy:branch needs weights of the same model")
  end
  if w.folder and not w.is_trainable then return policy.open(w.model.plain_spec .. "+" .. w.folder) end
  return setmetatable({ model = w.model, spec = w.model.spec, caps = self.caps, record = self.record,
    weights = apart(w) }, policy_class)
end

---The policy itself, when it can do all that is named ("update", "score", …): a script asks before it pays for
---samples that would lead nowhere.
function Policy:need(...)
  local what = { update = "be updated", score = "score given answers", targets = "score other tokens than an answer's",
    tokens = "work in tokens", detail = "say more of a token than its log-probability", logprobs = "give the log-probabilities of what it samples" }
  for _, name in ipairs { ... } do
    if not what[name] then
      errors.misuse("policy:need", "policy:need knows no '%s'%s", tostring(name), errors.hint(tostring(name), errors.keys(what)))
    end
    if not self.caps[name] then errors.usage("the model %s cannot %s, which this experiment needs", self.spec, what[name]) end
  end
  return self
end

---Weights between two of this model, parameter by parameter: (1 - share) a + share b, which begin with a fresh optimiser at
---b's step; policy:average(teacher, student, 0.05) is one step of an exponential moving average. Made when somebody needs
---their state: a replay only names them.
function Policy:average(a, b, share)
  local op = "policy:average"
  for _, w in ipairs { a or false, b or false } do
    if not policy.is_weights(w) or w.model.base.id ~= self.model.base.id then
      errors.misuse(op, "%s needs two weights of the same model", op)
    end
  end
  errors.number(op, "share", share, 0, 1)
  if share == 0 or a.id == b.id then return a end
  if share == 1 then return b end
  local trained_on, known = { tasks = {}, families = {} }, {}
  for _, w in ipairs { a, b } do
    for kind, list in pairs(trained_on) do
      for _, x in ipairs(w.trained_on[kind] or {}) do
        if not known[x] then list[#list + 1], known[x] = x, true end
      end
    end
  end
  for _, list in pairs(trained_on) do table.sort(list) end
  return policy.recorded_weights(self.model, core.mix_id(a.id, b.id, share), b.step, trained_on, { again = function(w)
    policy.ready(a)
    policy.ready(b)
    w.handle = core.weights_mix(a.handle, b.handle, share).handle
  end })
end

---[waits] Weights of a run's record as its model has them; what is in `folder` is loaded.
function policy.load(model, folder)
  local info = core.snapshot_info(model.handle, folder)
  if not info then return nil end
  local known = model.known[info.id]
  if known and known.handle then return known end
  local op = core.weights_load(model.handle, folder)
  return sched.await(sched.start(op, function(loaded)
    local w = policy.weights(model, loaded)
    w.handle, w.is_trainable, w.is_trained, w.folder = loaded.handle, info.is_trainable, true, folder
    return w
  end), "vt.weights")
end

function Policy:encode(text, o)
  o = errors.options("policy:encode", o, { special = "boolean" })
  if type(text) ~= "string" then errors.misuse("policy:encode", "policy:encode needs a text, not a %s", type(text)) end
  return core.policy_encode(self.model.handle, text, o.special or false)
end

function Policy:decode(ids) return core.policy_decode(self.model.handle, ids) end

function Policy:render(messages, o)
  o = errors.options("policy:render", o, { generation_prompt = "boolean", reasoning = "string" })
  return core.policy_render(self.model.handle, messages, o.generation_prompt ~= false, o.reasoning)
end

-- ── prompts as tokens ────────────────────────────────────────────────────────────────────────────────────────────────

-- prompt -> its last rendering. A copy of a prompt has none, and one whose fields were set since is rendered again.
local rendered = setmetatable({}, { __mode = "k" })
local asked_with = setmetatable({}, { __mode = "kv" }) -- token ids -> the prompt that they are

-- { ids, sha, text }: rendered with the record's sentences.
local function tokens_of(model, p, prefix)
  local begun, messages = prefix or p.prefix or "", p:messages(model.record)
  local said = { begun, p.reasoning or "" }
  for _, m in ipairs(messages) do said[#said + 1] = m.role .. "\0" .. m.content end
  said = table.concat(said, "\0")
  local cached = rendered[p]
  if cached and cached.model == model and cached.said == said then return cached end
  if begun ~= "" and not model.caps.prefix then
    errors.misuse("weights:sample", "%s cannot go on from a prefix: its server begins every answer itself", model.spec)
  end
  local text = core.policy_render(model.handle, messages, true, p.reasoning) .. begun
  local ids = model.caps.tokens and core.policy_encode(model.handle, text, true) or {}
  cached = { model = model, said = said, ids = ids, text = text, sha = core.sha256(text) }
  rendered[p], asked_with[ids] = cached, p
  return cached
end

---What a sample is to be trained or scored under: the tokens it was drawn with, unless its script gave it another prompt.
function policy.prompt_of(s, g)
  local prompt, ids = s.prompt or g.prompt, s.prompt_ids or g.prompt_ids
  if not ids or prompt and asked_with[ids] and asked_with[ids] ~= prompt then return prompt end
  return ids
end

---Token ids of a vt.Prompt or an array of ids.
function policy.prompt_tokens(model, p, what)
  if prompts.is(p) then return tokens_of(model, p).ids end
  if type(p) == "table" then return p end
  errors.misuse(what, "%s needs a prompt or an array of token ids, not a %s", what, type(p))
end

---How many tokens the model's window holds behind a prompt; nil where it is not known.
function Policy:room(p)
  if not prompts.is(p) then errors.misuse("policy:room", "policy:room needs a prompt (task:prompt()), not a %s", type(p)) end
  local n_ctx = self.caps.n_ctx
  if not self.caps.tokens or n_ctx == 0 then return nil end
  return n_ctx - #tokens_of(self.model, p).ids
end

-- ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────

---The code of an answer and the bytes [from, to) it stands in; nil and why when there is none.
policy.extract = core.extract

local function byte_length(model, id)
  local n = model.byte_lengths[id]
  if not n then
    n = #core.policy_decode(model.handle, { id })
    model.byte_lengths[id] = n
  end
  return n
end

-- Log-probability over the tokens that begin inside the extracted code.
local function logprob_of_code(model, tokens, logprobs, from, to)
  local at, sum = 0, 0
  for t, id in ipairs(tokens) do
    if at >= to then break end
    if at >= from then sum = sum + logprobs[t] end
    at = at + byte_length(model, id)
  end
  return sum
end

local Group = closed.class("vt.Group", "a group", { "task", "prompt", "prompt_ids", "weights", "draw", "seen", "step", "place",
  "run", "dropped", "recorded" })
local Sample = closed.class("vt.Sample", "a sample", { "task", "i", "seed", "text", "code", "code_sha", "tokens",
  "n_tokens", "finish", "logprob", "logprob_mean", "logprob_code", "logprobs", "logprobs_behaviour", "result", "reward",
  "advantage", "key", "seen", "place", "temperature", "prompt", "prompt_ids", "weights", "recorded", "at", "text_sha", "targets", "entropy", "certainty",
  "confidence", "confidence_tail", "confidence_worst", "online_kept", "online_tokens" })
closed.settable(Group)
closed.settable(Sample)
policy.Group, policy.Sample = Group, Sample

-- Groups and samples that were read back know the run that they came from; their weights and the tokens of their prompt
-- are there when somebody asks. Set by recorded.lua: what -> function(recorded, the object).
policy.of_record = {}
for _, class in ipairs { Group, Sample } do
  local index = class.__index
  function class.__index(t, k)
    local find = policy.of_record[k]
    local from = find and rawget(t, "recorded")
    if not from then return index(t, k) end
    local value = find(from, t)
    rawset(t, k, value)
    return value
  end
end

function Sample:__tostring() return ("sample %d of %s"):format(self.i, tostring(self.task)) end

---The sample of a line of rollouts.jsonl, in group g.
function policy.sample_of(line, task, g)
  return setmetatable({ task = task, i = line.i, seed = core.parse_u64(line.seed), text = line.text, code = line.code,
    code_sha = line.code_sha, tokens = line.tokens, n_tokens = line.n_tokens, finish = line.finish,
    logprob = line.logprob, logprob_mean = line.logprob_mean, logprob_code = line.logprob_code,
    logprobs = line.logprobs, logprobs_behaviour = line.logprobs_behaviour, key = line.key, seen = line.seen, place = g.place,
    temperature = line.temperature, prompt = g.prompt, prompt_ids = rawget(g, "prompt_ids"),
    weights = rawget(g, "weights"), recorded = rawget(g, "recorded") }, Sample)
end

---The sample of fields that were read back.
function policy.recorded_sample(fields) return setmetatable(fields, Sample) end

---What weights were trained on, met by this task: "task", "family" or nil.
function policy.seen(trained_on, task)
  for _, id in ipairs(trained_on.tasks or {}) do
    if id == task.id then return "task" end
  end
  for _, family in ipairs(trained_on.families or {}) do
    if family == families.of(task.family) then return "family" end
  end
end

-- What the model wrote, the stop string included: the closing brace is part of the answer.
local function answer_of(request, raw)
  if request.model.caps.tokens then return core.policy_decode(request.model.handle, raw.tokens) end
  return raw.text .. (raw.stop and request.stop[raw.stop] or "")
end

-- The prompt of a request in its run: the text that was read, and what it was made of, whose hash this gives.
local function keep_prompt(request)
  if not request.parts_sha then
    core.run_blob(request.run.handle, request.prompt.text)
    request.parts_sha = core.run_blob(request.run.handle, core.json_encode(request.parts))
  end
  return request.parts_sha
end

-- A vector that goes on from the first n values of another; empty where the server gives only one of them, or none.
local function joined(first, n, rest, n_rest)
  local values = {}
  if #first < n or #rest < n_rest then return core.vector(values) end
  for t = 1, n do values[t] = first[t] end
  for t = 1, #rest do values[n + t] = rest[t] end
  return core.vector(values)
end

-- The whole answer of a sample that went on from the beginning of another.
local function with_beginning(request, raw)
  local begun, n = request.begun, request.begun.n
  local tokens = table.move(begun.sample.tokens, 1, n, 1, {})
  table.move(raw.tokens, 1, #raw.tokens, n + 1, tokens)
  return { text = begun.text .. raw.text, tokens = tokens, finish = raw.finish, stop = raw.stop,
    n_tokens = n + raw.n_tokens, logprobs = joined(begun.sample.logprobs, n, raw.logprobs, raw.n_tokens),
    logprobs_behaviour = joined(begun.sample.logprobs_behaviour, n, raw.logprobs_behaviour, raw.n_tokens) }
end

local function line_of(request, i, raw)
  local model, task = request.model, request.task
  if request.begun then raw = with_beginning(request, raw) end
  local answer = answer_of(request, raw)
  local code, from, to = core.extract(answer, task and task.name)
  if code then code = core.utf8(code) end -- as the record holds it, so that a sample read back is the one just drawn
  local n = raw.n_tokens
  local logprob = #raw.logprobs == n and raw.logprobs:sum() or nil -- nil: the server gives none
  return {
    key = request.keys[i], run = request.run.id, task = task and task.id, level = task and task.level,
    step = request.weights.step, place = request.place, i = i, seed = core.u64(request.seeds[i]), draw = request.draw,
    weights = request.weights.id, prompt_sha = request.prompt.sha, prompt = keep_prompt(request), n_prompt = #request.prompt.ids,
    temperature = request.temperature, seen = request.seen,
    text = core.utf8(raw.text), tokens = core.array(raw.tokens), n_tokens = n, finish = raw.finish,
    code = code, code_sha = code and core.sha256(code), parse = code and "ok" or answer == "" and "empty" or "malformed",
    logprobs = raw.logprobs, logprobs_behaviour = raw.logprobs_behaviour,
    logprob = logprob, logprob_mean = logprob and (n > 0 and logprob / n or 0),
    logprob_code = logprob and code and model.caps.tokens and logprob_of_code(model, raw.tokens, raw.logprobs, from, to)
      or logprob,
  }
end

-- Fields that belong to the run in which a sample is used, not to the sample itself.
local function adopt(line, request)
  line.prompt = keep_prompt(request)
  line.run, line.seen, line.place, line.reward, line.advantage, line.sample_ms = request.run.id, request.seen, request.place, nil, nil, nil
  return line
end

local function from_store(request, i)
  local store = session.content()
  local text = store and not session.flags.fresh and core.content_get(store, request.keys[i])
  if not text then
    local line = request.run.donors:sample(request.keys[i])
    return line and adopt(line, request)
  end
  local line = core.json_decode(text, "a stored sample")
  line.logprobs, line.logprobs_behaviour = core.vector(line.logprobs), core.vector(line.logprobs_behaviour)
  return adopt(line, request)
end

local sample_options = { n = "integer", draw = "string", place = "integer", temperature = "number", max_tokens = "integer",
  top_p = "number", top_k = "integer", min_p = "number", stop = "table", prefix = "string", again = "boolean" }
policy.sample_options = sample_options
local limited = { "n", "temperature", "max_tokens", "top_p", "top_k", "min_p" } -- in core.limits

-- Group, seeds and keys of samples 1..n; raises when the run already asked for them.
local function name_samples(request, o)
  local run, task = request.run, request.task
  local subject = task and ("l%d/%d"):format(task.level, task.id) or request.prompt.sha
  request.stream = ("sample/%s/%d/%s/"):format(subject, request.weights.step, request.draw)
  local fields = { weights = request.weights.id, prompt = request.prompt.sha, temperature = request.temperature,
    top_p = request.top_p, top_k = request.top_k, min_p = request.min_p, max_tokens = request.max_tokens,
    stop = core.array(request.stop), begun = request.begun and request.begun.sha }
  request.seeds, request.keys = {}, {}
  for i = 1, request.n do
    request.seeds[i] = core.seed(run.seed, request.stream .. i)
    fields.seed, fields.i = core.u64(request.seeds[i]), i
    request.keys[i] = record.hash(fields)
  end
  if run.record.issued[request.keys[1]] and not o.again then
    errors.misuse("weights:sample",
      "weights:sample: these samples were drawn before in this run; for an independent draw give "
      .. "another label (draw = \"second\"), for the same samples again = true")
  end
  for i = 1, request.n do run.record.issued[request.keys[i]] = true end
end

-- What of a sample is kept by one that goes on from it: n tokens, and how the request knows them.
local function beginning_of(model, s, n)
  if not model.caps.tokens then
    errors.misuse("weights:resample", "%s works in text: no sample can go on from tokens", model.spec)
  end
  local tokens = table.move(s.tokens, 1, n, 1, {})
  return { sample = s, n = n, tokens = tokens, text = core.policy_decode(model.handle, tokens),
    sha = record.hash(core.array(tokens)) }
end

local function make_request(w, p, o, begun)
  local model = w.model
  if not model.caps.sample then errors.misuse("weights:sample", "%s cannot sample", model.spec) end
  if not prompts.is(p) then
    errors.misuse("weights:sample", "weights:sample needs a prompt (task:prompt()), not a %s", type(p))
  end
  o = errors.options("weights:sample", o, sample_options)
  if not o.n then errors.misuse("weights:sample", "weights:sample: n, the number of samples, is needed") end
  local r = model.record
  local request = {
    model = model, weights = w, run = session.run "weights:sample", task = p.task, n = o.n, draw = o.draw or "main",
    place = o.place or w.step, -- the weights count updates, and a step of an experiment may have none
    prompt = tokens_of(model, p, o.prefix), parts = prompts.parts(p, o.prefix), seen = p.task and policy.seen(model.start.trained_on, p.task),
    temperature = (o.temperature or r.temperature or 1) + 0.0, max_tokens = o.max_tokens or r.max_tokens or 256,
    top_p = (o.top_p or 1) + 0.0, top_k = o.top_k or 0, min_p = (o.min_p or 0) + 0.0, stop = o.stop or r.stop or {},
  }
  for _, name in ipairs(limited) do
    local problem = core.limit_problem(name, request[name])
    if problem then errors.misuse("weights:sample", "weights:sample: %s", problem) end
  end
  local n_prompt, n_ctx = #request.prompt.ids, model.caps.n_ctx
  if n_ctx and n_ctx > 0 and n_prompt + request.max_tokens > n_ctx then -- a value that does not fit the model is a bad value
    errors.usage("the prompt has %d tokens and --max_tokens is %d: together they pass the model's context of %d",
      n_prompt, request.max_tokens, n_ctx)
  end
  if begun then
    request.begun = begun
    request.draw = ("%s/%s"):format(request.draw, begun.sha:sub(1, 16))
    request.max_tokens = math.max(1, request.max_tokens - begun.n)
  end
  if p.task then request.run:keep_task(p.task) end
  name_samples(request, o)
  return request
end

-- Draws the missing samples in one request. Each is recorded when it ends, whoever still waits and whatever becomes of
-- the others. ended(i) is called then. pay: for what was drawn.
local function draw_paid(request, missing, lines, ended, prompt, pay)
  local run, store = request.run, session.content()
  local began, n_begun = core.now(), request.begun and request.begun.n or 0
  local op = core.sample(request.weights.handle, prompt, { seed = run.seed, stream = request.stream, index = missing },
    { temperature = request.temperature, top_p = request.top_p, top_k = request.top_k, min_p = request.min_p,
      max_tokens = request.max_tokens, stop = request.stop })
  run.progress:plan_samples(#missing)
  local function record_one(j, raw)
    local i = missing[j]
    if lines[i] then return end
    local line = line_of(request, i, raw)
    -- Where samples do not follow from their seeds, which ones were drawn together is part of what they are.
    if request.model.caps.seed ~= "sample" then line.request = missing[1] end
    if store then core.content_put(store, line.key, core.json_encode(line)) end
    line.sample_ms = (core.now() - began) * 1e3
    run.record:put_sample(line)
    lines[i] = line
    run.meter:spend { rollouts = 1, sampled_tokens = line.n_tokens - n_begun, student_tokens = line.n_tokens - n_begun }
    pay { sampled = line.n_tokens - n_begun }
    run.progress:add_samples(1)
    ended(i)
  end
  local future = sched.start(op, function(raws)
    for j, raw in ipairs(raws) do record_one(j, raw) end
    local n = prompt.ids and #prompt.ids or raws.n_prompt
    run.meter:spend { prompt_tokens = #request.prompt.ids, cached_tokens = raws.n_cached }
    pay { prefill = math.max(0, n - raws.n_cached), cached = raws.n_cached }
  end, nil, record_one)
  sched.await(future, "weights:sample")
end

local function draw_missing(request, missing, lines, ended)
  local run = request.run
  run:check_time "weights:sample"
  policy.ready(request.weights)
  sched.gate "weights:sample"
  local prompt = { ids = request.model.caps.tokens and request.prompt.ids or nil, text = request.prompt.text }
  if request.begun then
    prompt.ids = table.move(request.begun.tokens, 1, request.begun.n, #prompt.ids + 1, table.move(prompt.ids, 1, #prompt.ids, 1, {}))
    prompt.text = prompt.text .. request.begun.text
  end
  local most = { prefill = prompt.ids and #prompt.ids or #prompt.text, sampled = #missing * request.max_tokens } -- a byte is a token at most
  run:spend_on(request.model.spec, most, "weights:sample", function(pay)
    draw_paid(request, missing, lines, ended, prompt, pay)
  end)
end

-- The group of a request whose samples the budget has room for.
local function draw_request(self, p, request, on_sample)
  local run, lines, missing, n_tokens, n_begun = request.run, {}, {}, 0, request.begun and request.begun.n or 0
  local g = setmetatable({ task = request.task, prompt = p, prompt_ids = request.prompt.ids, weights = self,
    draw = request.draw, place = request.place, seen = request.seen }, Group)
  local function ended(i)
    g[i] = policy.sample_of(lines[i], request.task, g)
    on_sample(g[i])
  end
  for i = 1, request.n do
    local line = run.record.samples[request.keys[i]]
    if line and line.sample_ms then -- drawn by an attempt of this run; what it took from others has no time
      run.meter:spend { rollouts = 1, sampled_tokens = line.n_tokens - n_begun, student_tokens = line.n_tokens - n_begun }
    elseif not line then
      line = from_store(request, i)
      if line then run.record:put_sample(line) end
    end
    lines[i] = line
    if not line then missing[#missing + 1] = i end
  end
  if #missing < request.n then
    run.progress:plan_samples(request.n - #missing)
    run.progress:add_samples(request.n - #missing, true)
  end
  for i = 1, request.n do
    if lines[i] then ended(i) end
  end
  if #missing > 0 then run.meter:holding("drawn", #missing, "weights:sample", draw_missing, request, missing, lines, ended) end
  for i = 1, request.n do n_tokens = n_tokens + lines[i].n_tokens - n_begun end
  return g, { rollouts = request.n, sampled_tokens = n_tokens, student_tokens = n_tokens,
    prompt_tokens = request.n * #request.prompt.ids }
end

---weights:sample, with on_sample(s) called for each sample as soon as it has ended.
function policy.stream(self, p, o, on_sample, begun)
  sched.need "weights:sample"
  local request = make_request(self, p, o, begun)
  local g, cost = request.run.meter:holding("charged", request.n, "weights:sample", draw_request, self, p, request, on_sample)
  request.run:charge(cost)
  return g
end

function Weights:sample(p, o) return policy.stream(self, p, o, function() end) end

---Samples that keep the first n tokens of s and are drawn anew from there, as whole samples: tokens and log-probabilities
---of both parts. Only new tokens are billed. A stop string that n cuts in two is not seen. [waits]
function Weights:resample(s, n, o)
  if getmetatable(s) ~= Sample then
    errors.misuse("weights:resample", "weights:resample needs a sample to go on from, not a %s", type(s))
  end
  if math.type(n) ~= "integer" or n < 0 or n > s.n_tokens then
    errors.misuse("weights:resample", "weights:resample keeps 0 to %d tokens of this sample, not %s", s.n_tokens, tostring(n))
  end
  return policy.stream(self, s.prompt, o, function() end, n > 0 and beginning_of(self.model, s, n) or nil)
end

function policy.is_weights(w) return getmetatable(w) == weights_class end

---Raises a usage error when the spec cannot name a model: nothing is opened or fetched.
function policy.check_spec(spec)
  local problem = core.policy_check(spec)
  if problem then errors.usage("--model: %s", problem) end
end

policy.class, policy.weights_methods = Policy, Weights -- update.lua adds policy:update and weights:save, policy_score.lua weights:score and top

---Makes sure that the backend holds the weights; set by checkpoints.lua, which knows where they are kept.
function policy.ready() end

return policy
