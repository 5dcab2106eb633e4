-- SPDX-License-Identifier: Apache-2.0
--
-- Progress: counters of a run and when they are shown. The plan (how many samples, evaluations and updates the run will
-- need) comes from the experiment where it says so, else from what has been asked for so far.
local core = require "vegttt.core"
local queue_watch = require "vegttt.queue_watch"
local session = require "vegttt.session"

local Progress = {}
Progress.__index = Progress

local progress = {}
local tty_interval_s, pipe_interval_s = 0.25, 5

---parent: the progress of the sweep whose cell this is; what is counted here counts there too.
function progress.new(plan, parent)
  return setmetatable({ parent = parent, plan = plan or {}, asked_samples = 0, asked_evals = 0, n_samples = 0, n_evals = 0,
    n_updates = 0, n_trained = 0, n_new = 0, n_answered = 0, counts = {}, stage = "starting", began = core.now(),
    shown_at = core.now() }, Progress)
end

---What the process does before it can do what the script asked for, in words, until done() is called; it stands where the
---stage stands.
function Progress:doing(words)
  local mine = { words = words, before = self.work }
  self.work = mine
  if self.parent then mine.done = self.parent:doing(words) end
  return function()
    if self.work == mine then self.work = mine.before end
    mine.words = nil
    if mine.done then mine.done() end
  end
end

-- What the run is doing.
local function stage_of(self)
  local work = self.work
  while work and not work.words do work = work.before end
  if work then return work.words end
  if self.asked_evals > 0 and self.n_evals == 0 then return self.stage .. ": compiling and checking the first kernels" end
  return self.stage
end

function Progress:plan_samples(n)
  self.asked_samples = self.asked_samples + n
  if self.parent then self.parent:plan_samples(n) end
end

function Progress:plan_evals(n)
  self.asked_evals = self.asked_evals + n
  if self.parent then self.parent:plan_evals(n) end
end

function Progress:add_update(is_recorded)
  self.n_updates = self.n_updates + 1
  if not is_recorded then self.n_trained = self.n_trained + 1 end
  if self.parent then self.parent:add_update(is_recorded) end
end

function Progress:add_samples(n, is_recorded)
  self.n_samples = self.n_samples + n
  if is_recorded then self.n_answered = self.n_answered + n else self.n_new = self.n_new + n end
  if self.parent then self.parent:add_samples(n, is_recorded) end
end

function Progress:add_eval(line, is_recorded)
  self.n_evals = self.n_evals + 1
  if is_recorded then self.n_answered = self.n_answered + 1 else self.n_new = self.n_new + 1 end
  if self.parent then self.parent:add_eval(line, is_recorded) end
  if line.confirms then return end -- judged before: the candidate has been counted
  self.counts[line.status] = (self.counts[line.status] or 0) + 1
  if line.correct and line.status ~= "flagged" and line.speedup > (self.best_speedup or 0) then
    self.best_speedup, self.best_task = line.speedup, line.task
  end
end

local order = { "correct_fast", "correct_slow", "wrong_output", "compile_error", "runtime_error", "timeout",
  "load_error", "malformed", "flagged" }

local function counts_text(counts)
  local parts = {}
  for _, status in ipairs(order) do
    if counts[status] then parts[#parts + 1] = ("%d %s"):format(counts[status], status) end
  end
  return table.concat(parts, ", ")
end
progress.counts_text = counts_text

-- Seconds to go at the pace of what this attempt really did, or -1. Updates set the pace where nothing else is planned.
local function eta(self, elapsed, left)
  if left == 0 and (self.plan.updates or 0) > 0 then
    return self.n_trained > 0 and elapsed / self.n_trained * (self.plan.updates - self.n_updates) or -1
  end
  return self.n_new > 0 and elapsed / self.n_new * left or -1
end

-- Behind the stage, of a run whose judges are elsewhere.
local function queue_words(self, now)
  local q = session.queue()
  if not q then return "" end
  self.queue_watch = self.queue_watch or queue_watch.new()
  local words, sentence = queue_watch.look(self.queue_watch, q, now)
  if sentence then core.err(("vegttt: %s\n"):format(sentence)) end
  return (" (%s)"):format(words)
end

function Progress:show()
  local elapsed = core.now() - self.began
  local samples = math.max(self.plan.samples or 0, self.asked_samples)
  local evals = math.max(self.plan.evaluations or 0, self.asked_evals)
  core.progress {
    stage = stage_of(self) .. queue_words(self, core.now()), counts = counts_text(self.counts), elapsed_s = elapsed,
    best = self.best_speedup and ("task %d %.2fx"):format(self.best_task, self.best_speedup) or "",
    n_samples = self.n_samples, n_samples_planned = samples, n_evals = self.n_evals, n_evals_planned = evals,
    n_updates = self.n_updates, n_updates_planned = self.plan.updates or 0,
    eta_s = eta(self, elapsed, samples - self.n_samples + evals - self.n_evals),
  }
end

---Shows when it is time; seconds until it is again.
function Progress:tick()
  local interval = core.tty and tty_interval_s or pipe_interval_s
  local now = core.now()
  if now - self.shown_at >= interval then
    self.shown_at = now
    self:show()
  end
  return self.shown_at + interval - now
end

return progress
