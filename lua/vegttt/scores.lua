-- SPDX-License-Identifier: Apache-2.0
--
-- What a step's samples say in one row (vt.scores), and how far weights have moved from others (vt.kl). Every script that
-- adapts prints these, so that a gain in speed is seen beside what it cost: correctness, distinct codes, distance.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local policy = require "vegttt.policy"
local sched = require "vegttt.sched"
local stats = require "vegttt.stats"

local scores = {}

local Row = closed.record_class("a row of vt.scores", { "n", "n_tasks", "sample_correct", "sample_fast_1",
  "sample_fast_1_sure", "lo", "hi", "no_copies", "per_code", "distinct", "copies", "nll" })

---The shares of a list of groups, each a mean over tasks; lo and hi belong to sample_fast_1_sure. no_copies:
---sample_fast_1_sure of those that are no copies; per_code: of each different code once. distinct: codes over samples;
---copies: share of samples that are the shown body; nll: mean over samples of -logprob.
function scores.of(drawn)
  local samples = groups.samples("vt.scores", drawn, "logprob")
  if #samples == 0 then errors.misuse("vt.scores", "vt.scores: the groups hold no samples") end
  local sure = stats.fast_sure(samples, 1)
  local nll = 0
  for _, s in ipairs(samples) do nll = nll and s.logprob and nll - s.logprob / #samples end -- imported ones may have none
  return setmetatable({ n = #samples, n_tasks = sure.n, sample_correct = stats.rate(samples, "correct").value,
    sample_fast_1 = stats.fast(samples, 1).value, sample_fast_1_sure = sure.value, lo = sure.lo, hi = sure.hi,
    no_copies = stats.fast_sure(samples, 1, { copies = false }).value, per_code = stats.fast_sure(samples, 1, { per = "code" }).value,
    distinct = sure.n_distinct / #samples, copies = stats.rate(samples, "is_copy").value, nll = nll }, Row)
end

-- Means of a vector over the window of tokens that ends at each of its tokens, from the first full one on.
local function windows_of(v, n, window)
  local size, sum, out = math.min(n, window), 0, {}
  for t = 1, n do
    sum = sum + v[t] - (t > size and v[t - size] or 0)
    if t >= size then out[#out + 1] = sum / size end
  end
  out.size = size
  return out
end

-- DeepConf's online stop, as it would have gone: the first `warmup` answers of a group are written to their end, and any later
-- one ends at the first window that is less confident than the worst windows of a share `keep` of those. An answer with such a
-- window is no candidate any more, of the first ones too.
local function stop_online(g, windows, warmup, keep)
  local worst = {}
  for i = 1, math.min(warmup, #g) do worst[#worst + 1] = g[i].confidence_worst end
  local bar = #worst > 0 and core.stats.quantile(worst, 1 - keep) or -math.huge
  for i, s in ipairs(g) do
    s.online_tokens, s.online_kept = s.n_tokens, s.confidence_worst and s.confidence_worst >= bar and 1 or 0
    for j, v in ipairs(i > warmup and windows[s] or {}) do
      if v < bar then
        s.online_tokens = windows[s].size + j - 1
        break
      end
    end
  end
end

---[waits] Scores every sample under the weights that drew it and sets, each a mean over its tokens, entropy, certainty
---(self-certainty) and confidence (DeepConf's, over the `top` likeliest tokens), and of the last also confidence_tail, over
---the last `window` tokens, and confidence_worst, over the worst window of them. Samples without tokens get none. All
---get online_kept and online_tokens: whether DeepConf's online stop (`warmup` answers of each group whole, a share `keep` of them
---above the bar) would have let it end, 1 or 0, and how many tokens would have been written of it.
function scores.detail(drawn, o)
  o = errors.options("vt.detail", o, { top = "integer", window = "integer", warmup = "integer", keep = "number" })
  local top, window, parts, windows = o.top or 20, o.window or 16, {}, {}
  local warmup, keep = errors.number("vt.detail", "warmup", o.warmup or 8, 1), errors.number("vt.detail", "keep", o.keep or 0.9, 0, 1)
  if window < 1 then errors.misuse("vt.detail", "vt.detail: window must be at least 1 token, not %d", window) end
  local list = groups.list("vt.detail", drawn, "tokens", "n_tokens")
  for _, g in ipairs(list) do
    for _, s in ipairs(g) do parts[#parts + 1] = { s = s, g = g } end
  end
  sched.map(parts, function(part)
    local s, n = part.s, part.s.n_tokens
    if n == 0 then return end
    local weights = s.weights or part.g.weights
    local _, d = weights:score(policy.prompt_of(s, part.g), s.tokens, { detail = top })
    s.entropy, s.certainty, s.confidence = d.entropy:mean(), d.certainty:mean(), d.confidence:mean()
    local means = windows_of(d.confidence, n, window)
    windows[s], s.confidence_tail, s.confidence_worst = means, means[#means], math.min(table.unpack(means))
  end)
  for _, g in ipairs(list) do stop_online(g, windows, warmup, keep) end
  return drawn
end

---[waits] KL(sampler || weights) in nats per token, from the samples' own log-probabilities: the mean of
---logprob - logprob under `weights` over all tokens of the groups. Never billed as training; the scored tokens count as
---the teacher's.
function scores.kl(weights, drawn)
  if not policy.is_weights(weights) then
    errors.misuse("vt.kl", "vt.kl needs weights to measure from (policy:start()), not a %s", type(weights))
  end
  local parts = {}
  for _, g in ipairs(groups.list("vt.kl", drawn, "tokens", "n_tokens", "logprobs")) do
    for _, s in ipairs(g) do parts[#parts + 1] = { s = s, prompt = policy.prompt_of(s, g) } end
  end
  if #parts == 0 then errors.misuse("vt.kl", "vt.kl: the groups hold no samples") end
  local sums = sched.map(parts, function(part)
    return (part.s.logprobs - weights:score(part.prompt, part.s.tokens, { bill = "teacher" })):sum()
  end)
  local sum, n = 0, 0
  for i, part in ipairs(parts) do sum, n = sum + sums[i], n + part.s.n_tokens end
  return sum / n
end

return scores
