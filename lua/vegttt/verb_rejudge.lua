-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt rejudge RUN`: a run's samples judged again, as a run of its own beside it: on another machine, by another protocol,
-- or as an independent repetition. Samples are copied as they stand, with their keys, so that `vegttt compare` pairs the two;
-- the first verdict of each is made anew. Nothing is sampled, and the old run stays as it is.
local attempt = require "vegttt.attempt"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local eval = require "vegttt.eval"
local experiment = require "vegttt.experiment"
local inputs = require "vegttt.inputs"
local params = require "vegttt.params"
local run_files = require "vegttt.run_files"
local sched = require "vegttt.sched"
local session = require "vegttt.session"
local verb = require "vegttt.verb_common"
require "vegttt.recorded" -- declares the input "rollouts"

local rejudge = {}

local at_once = 64

---[waits] Verdicts of recorded samples { task, code }: task_of(number) -> vt.Task. How many are correct, and how many codes
---were judged.
function rejudge.judge(samples, task_of, protocol)
  local jobs, known, n_correct = {}, {}, 0
  for _, s in ipairs(samples) do
    local name = s.code and s.task .. "/" .. s.code_sha
    if name and not known[name] then
      known[name] = { task = task_of(s.task), code = s.code, name = name }
      jobs[#jobs + 1] = known[name]
    end
  end
  sched.map(jobs, function(job) job.is_correct = eval.one(job.task, job.code, { protocol = protocol }).correct end, { limit = at_once })
  for _, s in ipairs(samples) do
    local job = s.code and known[s.task .. "/" .. s.code_sha]
    if job and job.is_correct then n_correct = n_correct + 1 end
  end
  return n_correct, #jobs
end

---Carries out an experiment that a verb made; its run's folder. Raises what went wrong.
function rejudge.carry_out(e, given, argv, o)
  local values, origins = params.resolve(e.params, given, "flag")
  local r = attempt.open(e, values, origins, { argv = argv, name = o.run, replicate = o.replicate, fresh = o.fresh })
  local summary = r:stored_summary()
  if summary then
    r:close()
    return r.dir, summary.result
  end
  local status, result = attempt.carry_out(r, verb.command(argv))
  if status == "failed" then error(result, 0) end
  if status == "interrupted" then
    errors.raise("cancelled", e.name, ("interrupted; everything recorded is in %s; continue with: %s"):format(r.dir, verb.command(argv)),
      { code = "ECANCELLED" })
  end
  return r.dir, result
end

-- Lines of a sample and of its reward as they stand in the old run; what belongs to the run itself is left behind.
local function copy_samples(run, samples)
  for _, s in ipairs(samples) do
    if not run.record.samples[s.key] then
      local line = {}
      for k, v in pairs(s) do line[k] = v end
      line.run, line.result, line.reward, line.advantage, line.dropped, line.v, line.t, line.t_mono = run.id, nil, nil, nil, nil, nil, nil, nil
      for _, name in ipairs { "tokens", "logprobs", "logprobs_behaviour" } do line[name] = core.array(line[name] or {}) end
      run.record:put_sample(line)
    end
  end
end

local function copy_texts(run, dir, samples)
  local known = {}
  for _, s in ipairs(samples) do
    local text = s.prompt and not known[s.prompt] and run_files.blob(dir, s.prompt)
    if text then core.run_blob(run.handle, text) end
    known[s.prompt or false] = true
  end
end

local function experiment_of(dir)
  return experiment.new { name = "rejudge", doc = "The samples of a recorded run, judged again.",
    params = { rejudges = { dir, "the run whose samples these are" }, protocol = { "fast", "how long to time", choices = { "fast", "full" } } },
    plan = function()
      inputs.note("rollouts", dir, inputs.digest("rollouts", dir))
      return {}
    end,
    main = function(_, p)
      local run, samples, task_of = session.run "rejudge", run_files.samples(dir), run_files.tasks_of(dir)
      run.progress.stage = "judging again"
      copy_texts(run, dir, samples)
      copy_samples(run, samples)
      local n_correct, n_codes = rejudge.judge(samples, task_of, p.protocol)
      local summary = run_files.summary(dir)
      local step = summary and summary.result.step
      return { samples = #samples, codes = n_codes, correct = n_correct, step = type(step) == "number" and step or nil }
    end }
end

local function run(f, words, argv)
  if #words ~= 1 then errors.usage "rejudge takes one run: a folder, \"latest\", or the beginning of a stamp" end
  local dir = run_files.find(words[1])
  session.flags = { unsafe_jail = f["unsafe-jail"], queue = f.queue, fresh = f.fresh }
  if #run_files.samples(dir) == 0 then errors.usage("%s holds no samples", dir) end
  local given = { rejudges = dir, protocol = f.protocol }
  local new_dir, result = rejudge.carry_out(experiment_of(dir), given, { "rejudge", table.unpack(argv) }, f)
  verb.say("%d samples, %d codes, %d samples correct: %s\n%s", result.samples, result.codes, result.correct, new_dir,
    "compared with: " .. verb.command { "compare", dir, new_dir })
  return 0
end

function rejudge.main(argv)
  return verb.main(argv, { run = run, max_words = 1, options = { verb.protocol_option,
    { "replicate", "N", "an independent repetition: enters the keys of verdicts", kind = "integer", min = 0 },
    { "fresh", nil, "judge again although a run of these verdicts exists" }, { "run", "NAME", "name of the run directory" },
    verb.queue_option, verb.unsafe_jail_option },
    help = [[
vegttt rejudge RUN   the samples of a run judged again, as a run beside it
  RUN is a folder, "latest", or a prefix of a stamp that `vegttt ls` lists

For another machine (copy the run there), another protocol (--protocol full), or a repetition (--replicate 1).]] })
end

return rejudge
