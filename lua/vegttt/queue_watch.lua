-- SPDX-License-Identifier: Apache-2.0
--
-- What there is to say of a queue (--queue) while a run waits for its workers: a few words that stand with the stage, and
-- one sentence when nothing can come of waiting: no worker lives, or the queue cannot be reached. A sentence is said once,
-- until what it says has ended.
local queue_watch = {}

local patience_s = 30 -- workers are started one after the other, and a connection may break for a moment

function queue_watch.new() return { since = nil, trouble = nil, is_said = false } end

local function trouble_of(q)
  if q.jobs == 0 then return nil end
  if not q.up then return "unreachable" end
  if q.workers == 0 then return "no workers" end
end

local sentences = {
  unreachable = function(q)
    return ("the queue cannot be reached (%s); %d evaluations wait until it can, and Ctrl-C keeps what is done"):format(q.why, q.jobs)
  end,
  ["no workers"] = function(q)
    return ("no worker of the queue has lived for %d s and %d evaluations wait; start some: vegttt worker --queue ADDRESS")
      :format(patience_s, q.jobs)
  end,
}

---q: what session.queue says; now: in seconds. -> words for the stage, a sentence to be said now or nil
function queue_watch.look(watch, q, now)
  local trouble = trouble_of(q)
  if trouble ~= watch.trouble then watch.trouble, watch.since, watch.is_said = trouble, now, false end
  local sentence
  if trouble and not watch.is_said and now - watch.since >= patience_s then
    watch.is_said, sentence = true, sentences[trouble](q)
  end
  local words = not q.up and "the queue cannot be reached" or ("%d workers"):format(q.workers)
  return q.jobs > 0 and ("%s, %d waiting"):format(words, q.jobs) or words, sentence
end

return queue_watch
