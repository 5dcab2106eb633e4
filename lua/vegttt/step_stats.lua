-- SPDX-License-Identifier: Apache-2.0
--
-- What each step of an adaptation logs, in one table for run:log: how far one sample dominates (max |A|, effective sample
-- size (sum |A|)^2 / sum A^2, over samples), what the update did (gradient norm, agreement of the gradients of two half
-- batches where it was measured: policy:update with floor, -1 skips nothing), how far trainer and sampler are apart (gap, and
-- the share of the batch that counts under their ratios), and
-- the signs of collapse: surprisal per token, entropy per token, the samples' surprisal (nll) and its standard deviation
-- within tasks, share of different codes, share of the most frequent code within its task.
--
-- The entropy is the mean of -logprob over sampled tokens under the distribution that they were drawn from, an estimate that
-- holds at any temperature; surprisal is the same tokens' at temperature 1.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"

local op = "vt.step_stats"
local Stats = closed.class("vt.Record", "vt.step_stats's result", { "n", "entropy", "surprisal", "max_advantage", "ess",
  "nll", "nll_sd", "distinct", "top_code", "grad_norm", "agreement", "gap", "ratio_ess", "loss", "n_tokens", "skipped" })

-- |A| of a sample: of a vector the mean over its tokens.
local function size_of(a)
  if type(a) == "number" then return math.abs(a) end
  local sum = 0
  for t = 1, #a do sum = sum + math.abs(a[t]) end
  return #a > 0 and sum / #a or 0
end

local function of_advantages(samples, out)
  local sum, squares, most = 0, 0, 0
  for _, s in ipairs(samples) do
    if s.advantage == nil then return end
    local a = size_of(s.advantage)
    sum, squares, most = sum + a, squares + a * a, math.max(most, a)
  end
  out.max_advantage, out.ess = most, squares > 0 and sum * sum / squares or 0
end

-- Means over tokens, of what is recorded.
local function per_token(samples, field)
  local sum, n = 0, 0
  for _, s in ipairs(samples) do
    local v = s[field]
    if v and #v > 0 then sum, n = sum - v:sum(), n + #v end
  end
  return n > 0 and sum / n or nil
end

-- Surprisal of whole samples: mean over tasks of each one's mean and standard deviation.
local function of_samples(by, out)
  local means, sds = {}, {}
  for _, g in ipairs(by) do
    local x = {}
    for _, s in ipairs(g) do
      if not s.logprob then return end
      x[#x + 1] = -s.logprob
    end
    means[#means + 1] = core.stats.mean(x)
    if #x > 1 then sds[#sds + 1] = core.stats.sd(x) end
  end
  out.nll, out.nll_sd = core.stats.mean(means), #sds > 0 and core.stats.mean(sds) or nil
end

local function of_codes(by, n_samples, out)
  local shares = 0
  for _, g in ipairs(by) do
    local count, most = {}, 0
    for _, s in ipairs(g) do
      local code = groups.code_of(s)
      count[code] = (count[code] or 0) + 1
      most = math.max(most, count[code])
    end
    shares = shares + most / #g
  end
  out.distinct = groups.n_distinct(by) / n_samples
  out.top_code = shares / #by
end

---step_stats(groups, report): report is what policy:update returned, when there was an update. Fields that are not known
---are left out.
return function(of, report)
  local samples, by = groups.samples(op, of), groups.by_task(op, of)
  if #samples == 0 then errors.misuse(op, "%s needs samples", op) end
  local out = { n = #samples, entropy = per_token(samples, "logprobs_behaviour"),
    surprisal = per_token(samples, "logprobs") }
  of_advantages(samples, out)
  of_samples(by, out)
  of_codes(by, #samples, out)
  if report then
    out.grad_norm, out.agreement, out.gap = report.grad_norm, report.agreement, report.kl_sample_train
    out.ratio_ess = report.ess
    out.loss, out.n_tokens, out.skipped = report.loss, report.n_tokens, report.skipped
  end
  return setmetatable(out, Stats)
end
