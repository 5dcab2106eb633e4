-- SPDX-License-Identifier: Apache-2.0
--
-- One step of learning as experiments say it with their parameters: judged groups -> rewards -> advantages -> an update,
-- logged. The three names (reward, advantage, loss) are those of vt.reward, vt.advantage and policy:update. Per token an
-- entropy bonus and a pull to an anchor may be added; the anchor is the start weights, or their moving average with
-- all that came since (the control for a teacher that is such an average).
--
-- The null hypotheses live here too, so that any script that adapts can be asked what its gain is worth: `frozen` learns
-- nothing (every step draws again from the same weights), `shuffled` learns from advantages that were dealt out anew
-- within each task, so that the size of the steps stays and what they mean is gone.
local advantage = require "vegttt.advantage"
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"
local reward = require "vegttt.reward"
local step_stats = require "vegttt.step_stats"
local update = require "vegttt.update"

local Learner, learner = {}, {}
local class = closed.class("vt.Learner", "a learner", { "run", "lr", "loss", "null", "reward", "advantage",
  "n_skipped", "entropy", "kl", "anchor", "ema", "average" }, Learner)

---vt.learner(run, p): the learner that p's reward, advantage, loss, lr and null ask for.
function learner.new(run, p)
  if not closed.is_record(p) then
    errors.misuse("vt.learner", "vt.learner needs the run and the experiment's parameters, not a %s", type(p))
  end
  return setmetatable({ run = run, lr = p.lr, loss = p.loss, null = p.null, n_skipped = 0, reward = reward[p.reward](),
    advantage = advantage[p.advantage](), entropy = p.entropy, kl = p.kl, anchor = p.anchor, ema = p.ema }, class)
end

-- What the distance is measured to. The average takes in the weights that drew the batch.
local function anchor_of(self, policy)
  if self.anchor == "start" then return policy:start() end
  self.average = policy:average(self.average or policy:start(), policy.weights, self.ema)
  return self.average
end

-- Deals the advantages of each group out anew.
local function shuffle(self, policy, groups)
  for i, g in ipairs(groups) do
    local dealt = {}
    for j, s in ipairs(g) do dealt[j] = s.advantage end
    local stream = self.run:rng(("shuffled/%d/%d/%d"):format(policy.weights.step, g.task and g.task.id or 0, i))
    dealt = stream:shuffle(dealt)
    for j, s in ipairs(g) do s.advantage = dealt[j] end
  end
end

---The sampling label of a step. Where the weights are those of an earlier step (the frozen null, a batch that asked for
---nothing) its draws must not be the same again.
function Learner:draw(step)
  if self.null == "frozen" then return "frozen" .. step end
  return self.n_skipped > 0 and ("main%d"):format(self.n_skipped) or "main"
end

---Learns from judged groups and moves the policy on. fields: more to log. Returns the report, nil under the frozen null. [waits]
function Learner:step(policy, groups, fields)
  if self.null == "frozen" then return nil end
  self.advantage(self.reward(groups))
  if self.null == "shuffled" then shuffle(self, policy, groups) end
  if self.entropy > 0 then advantage.entropy_bonus { beta = self.entropy }(groups) end
  if self.kl > 0 then advantage.kl_to_start { start = anchor_of(self, policy), beta = self.kl }(groups) end
  local u = policy:update(update.batch(groups), { lr = self.lr, loss = self.loss,
    floor = policy.caps.agreement and -1 or nil }) -- measures how well half batches agree, skips nothing
  if u.skipped then self.n_skipped = self.n_skipped + 1 end
  local line = step_stats(groups, u)
  line.step, line.skipped = u.weights.step, u.skipped
  for k, v in pairs(fields or {}) do line[k] = v end
  self.run:log("update", line)
  return u
end

return learner
