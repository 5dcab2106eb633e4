-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt worker`: judges what stands in a queue. The queue, leases and answers are the engine's (engine/farm); what is
-- left here is to open the evaluators and to say how it goes, a line at a time: the output of a worker is a log.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local verb = require "vegttt.verb_common"

local worker = {}

local look_s = 1 -- how often it is asked what it has to tell

local function log(text)
  for line in text:gmatch "[^\n]+" do core.err(("%s  %s\n"):format(os.date "%Y-%m-%d %H:%M:%S", line)) end
end

local function summary(n)
  return ("%d jobs: %d judged, %d refused, %d had their answer already, %d given back; %d of them taken over from workers that died")
    :format(n.taken, n.judged, n.refused, n.known, n.released, n.taken_over)
end

local function run(f)
  if not f.queue then errors.usage "worker needs --queue redis://HOST[:PORT]/NAME; --help says more" end
  session.flags = { unsafe_jail = f["unsafe-jail"], tier = f.tier }
  local handle
  local count = verb.wait(function()
    local first, info = session.evaluator()
    local op
    op, handle = core.worker(first, (session.evaluator "again"), { queue = f.queue, in_flight = f.jobs, lease = f.lease })
    log(("worker %s: %s on %s"):format(core.worker_name(handle), info.version, info.machine))
    local is_over = false
    local function tell()
      log(core.worker_notes(handle))
      if not is_over then sched.after(look_s, tell) end
    end
    tell()
    local n = sched.await(sched.start(op, function(n) return n end, function() is_over = true end), "worker")
    log(core.worker_notes(handle))
    return n
  end, function()
    log "told to stop: what has not begun is given back"
    core.worker_stop(handle)
  end)
  log(summary(count))
  return 0
end

function worker.main(argv)
  return verb.main(argv, { run = run, max_words = 0,
    help = [[vegttt worker --queue redis://HOST[:PORT]/NAME[?password=FILE&ca=FILE]

Judges what experiments with the same --queue ask for, one worker a set of cores (taskset, Slurm) or a GPU, until it is
told to stop (Ctrl-C, SIGTERM, SIGUSR1). It may be killed at any time: what it held is judged by another worker once its
lease is over. rediss:// is TLS. A password is the first line of a file of mode 600. Workers that differ in evaluator,
compiler or machine class get jobs of their own: what they measure cannot be compared.]],
    options = {
      { "queue", "ADDRESS", "the queue, a Redis or Valkey server and a name in it" },
      { "jobs", "N", "jobs held at once; unless said two more than it may use cores", kind = "integer", min = 1, max = 256 },
      { "lease", "S", "how long others wait before they take what a silent worker held", kind = "number", min = 1,
        max = 3600, default = 30 },
      { "tier", "NAME", "what it judges with", choices = core.eval_tiers() },
      verb.unsafe_jail_option,
    } })
end

return worker
