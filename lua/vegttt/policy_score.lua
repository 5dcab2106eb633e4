-- SPDX-License-Identifier: Apache-2.0
--
-- Scores: what weights say of tokens that are given, at temperature 1. weights:score gives the log-probability of each, or
-- of other targets in its place, and more of the distribution it was scored under; weights:top gives the likeliest tokens.
-- A score is named by weights, prompt and tokens: a recorded one, or one that another run of this machine has, answers
-- again. It is charged whichever it is.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local policy = require "vegttt.policy"
local record = require "vegttt.record"
local sched = require "vegttt.sched"
local session = require "vegttt.session"

local Weights = policy.weights_methods

local Detail = closed.record_class("a score's detail", { "entropy", "certainty", "confidence" })

-- What is kept of a score, and back.
local function kept_score(logprobs, detail)
  if not detail then return logprobs end
  return { logprobs = logprobs, entropy = detail.entropy, certainty = detail.certainty, confidence = detail.confidence }
end

local function score_of(kept)
  if core.is_vector(kept) or #kept > 0 or next(kept) == nil then return core.vector(kept) end
  return core.vector(kept.logprobs), setmetatable({ entropy = core.vector(kept.entropy),
    certainty = core.vector(kept.certainty), confidence = core.vector(kept.confidence) }, Detail)
end

local Top = closed.record_class("weights:top's result", { "ids", "logprobs" })

-- A score of these weights from the record, from another run, or from the backend: ask() -> the operation, and what of its
-- results is kept. What is refused or fails costs nothing: it is billed with its answer.
local function recorded_score(self, op, ids, tokens, bill, key, ask)
  local run = session.run(op)
  local cost = { prompt_tokens = #ids, scored_tokens = #tokens, [bill .. "_tokens"] = #tokens }
  local function billed(kept)
    run:charge(cost)
    run.meter:spend(cost)
    return kept
  end
  local known = run.record:get(key)
  if known then return billed(known) end
  local store, store_key = session.content(), core.sha256(key) -- keys of samples are other hashes
  local text = store and not session.flags.fresh and core.content_get(store, store_key)
  if text then
    local kept = core.json_decode(text, "a stored score")
    run.record:put(key, kept)
    return billed(kept)
  end
  policy.ready(self)
  sched.gate(op)
  local n = #ids + #tokens
  return billed(run:spend_on(self.model.spec, { prefill = n }, op, function(pay)
    local started, keep = ask()
    return sched.await(sched.start(started, function(...)
      local kept = keep(...)
      run.record:put(key, kept)
      pay { prefill = n }
      if store then core.content_put(store, store_key, core.json_encode(kept)) end
      return kept
    end), op)
  end))
end

---The k likeliest tokens at each position of the tokens after the prompt, and their log-probabilities at T = 1: { ids,
---logprobs }, k a position, likeliest first.
function Weights:top(p, tokens, k, o)
  sched.need "weights:top"
  o = errors.options("weights:top", o, { bill = { "student", "teacher" } })
  if not self.model.caps.detail then
    errors.misuse("weights:top", "%s gives log-probabilities of given tokens only", self.model.spec)
  end
  if type(tokens) ~= "table" then
    errors.misuse("weights:top", "weights:top needs an array of token ids, not a %s", type(tokens))
  end
  errors.number("weights:top", "the number of tokens", k, 1, 64, true)
  local ids = policy.prompt_tokens(self.model, p, "weights:top")
  local key = "top/" .. record.hash { weights = self.id, prompt = ids, tokens = core.array(tokens), k = k }
  local kept = recorded_score(self, "weights:top", ids, tokens, o.bill or "student", key, function()
    return core.score(self.handle, ids, tokens, k, true), function(_, top)
      return { ids = core.array(top.ids), logprobs = top.logprobs }
    end
  end)
  return setmetatable({ ids = kept.ids, logprobs = core.vector(kept.logprobs) }, Top)
end

---T = 1 log-probability of each token after the prompt; detail = k: also entropy, certainty and confidence of each, the
---last over the k likeliest tokens. targets: ids, as many at each position, whose log-probabilities are wanted instead.
function Weights:score(p, tokens, o)
  sched.need "weights:score"
  o = errors.options("weights:score", o, { bill = { "student", "teacher" }, detail = "integer", targets = "table" })
  if not self.model.caps.score then errors.misuse("weights:score", "%s cannot score given tokens", self.model.spec) end
  if o.detail and not self.model.caps.detail then
    errors.misuse("weights:score", "%s gives log-probabilities only, no detail", self.model.spec)
  end
  if o.detail and (o.detail < 1 or o.detail > 64) then
    errors.misuse("weights:score", "weights:score: detail must be 1 to 64 tokens, not %d", o.detail)
  end
  if type(tokens) ~= "table" then
    errors.misuse("weights:score", "weights:score needs an array of token ids, not a %s", type(tokens))
  end
  if o.targets and not self.model.caps.targets then
    errors.misuse("weights:score", "%s scores the tokens of an answer only", self.model.spec)
  end
  if o.targets and (#tokens == 0 or #o.targets == 0 or #o.targets % #tokens ~= 0) then
    errors.misuse("weights:score", "weights:score: %d targets for %d tokens; give as many at each", #o.targets, #tokens)
  end
  local ids = policy.prompt_tokens(self.model, p, "weights:score")
  local key = "score/" .. record.hash { weights = self.id, prompt = ids, tokens = core.array(tokens), detail = o.detail,
    targets = o.targets and core.array(o.targets) }
  return score_of(recorded_score(self, "weights:score", ids, tokens, o.bill or "student", key, function()
    return core.score(self.handle, ids, tokens, o.detail, false, o.targets), kept_score
  end))
end
