-- SPDX-License-Identifier: Apache-2.0
--
-- What stands in the files of a run directory: the one description, from which `vegttt help run-directory` is made, and
-- against which a test holds every key of every line that real runs write (tests/cli/schema.case), both ways: no key
-- without a meaning here, no key here that is never written.
--
-- A field is a line `NAME TYPE MEANING`. NAME is a path: a.b is b in the object a, a[].b is b in the objects of the list
-- a, * is any name, ** anything at all from there on. A NAME with ? is not on every record. TYPE is text, number, whole,
-- boolean, list, object, any, or such with |null.
local core = require "vegttt.core"

local schema = {}

local every_line = [[
v        whole   version of this description: 1
t        text    wall clock, nanoseconds since 1970
t_mono   text    the machine's monotonic clock, nanoseconds
]]

local of_unit = {
  evaluations = "verdicts", rollouts = "samples", prompt_tokens = "tokens of prompts", sampled_tokens = "tokens that were sampled",
  scored_tokens = "tokens that were scored", student_tokens = "tokens that the policy sampled or scored",
  teacher_tokens = "tokens that a teacher scored", update_tokens = "tokens that were trained on", cached_tokens = "tokens of prompts that a service had still", gpu_s = "seconds of GPUs",
  usd = "money",
}

-- A line for each unit that the meter has.
local units = ""
for _, name in ipairs(require("vegttt.meter").units) do
  units = ("%s%s  number  %s\n"):format(units, name, of_unit[name] or error("no meaning of the unit " .. name))
end

local function below(prefix, fields) return (fields:gsub("([^\n]+)\n", prefix .. ".%1\n")) end

---Files of one JSON object, or of one a line; kinds are told apart by the field that `by` names.
schema.files = {
  { "run.json", "what the run is; written once, first", [[
v           whole   version of this description: 1
t           text    when it began, wall clock, nanoseconds since 1970
id          text    SHA-256 of what was asked and of all that was read before it began: the run's identity
experiment  text    the experiment's name
replicate   text    --replicate N
family      text    SHA-256 of what was asked but for parameters that may grow: its runs give each other results
command     list    the words after the script
cwd         text    the folder it was started in
host        text    the machine
pid         whole   the process that began it
script?     object  the script
script.file?    text  its path, as it was given
script.sha256?  text  SHA-256 of its text
engine      object  the engine that began the run
engine.version  text  of the release
engine.commit   text  git describe of the sources when it was built, "unknown" outside git
engine.digest   text  SHA-256 of the engine's sources in C; with the next, part of the run's identity
engine.lua      text  SHA-256 of its Lua half
parent?     text    id of the sweep that the run is a cell of
before?     text    folder of the newest run of the family when this one began
changed?    list    in words, what is not as it was in that run
]] },
  { "params.json", "parameters, by name; those that come from the model's record are put in when it is known", [[
*         object    a parameter
*.value   any|null  its value; null where a model's record gives it and no model was opened
*.type    text      what it has to be
*.origin  text      default, flag, sweep, or the model record it comes from
]] },
  { "env.json", "the machine and the program; written once", [[
vegttt      text    version of the engine
commit      text    git describe of its sources
lua         text    version of Lua
cpu?        text    model of the processor
kernel      text    the kernel
memory_kib  number  memory
]] },
  { "summary.json", "the result; written last: its presence means that the run is finished", [[
result      object    what main returned
result.**?  any|null  plain data; weights by their id, tasks by their number, samples by their key
non_finite  list      the numbers in it that JSON has not
non_finite[].path?  list  the keys that lead to one
non_finite[].is?    text  nan, inf or -inf
unrepeatable?  list   what main asked that may answer otherwise next time (commands, the clock); such a run is said to be so
inputs?     text      SHA-256 of inputs.jsonl when the run was finished: a list that is another is damaged, and answers nobody
not_replayed?  whole  verdicts that the run of --reward-from did not have, whenever they were judged
params      object    the resolved parameters
params.**?  any|null  by name
meter       object    the costs
meter.charged  object  as if the method ran alone
meter.spent    object  what the run did, after sharing and reuse
]] .. below("meter.charged", units) .. below("meter.spent", units) .. [[
n_new       whole     samples and verdicts that the last attempt made
wall_s      number    seconds of the last attempt
tables      list      names of the tables, in order
engine      object    the engine that finished the run
engine.version  text  as in run.json
engine.commit   text  as in run.json
engine.digest   text  as in run.json
]] },
  { "lock", "held (flock) while a process writes; for people", [[
pid      whole  the last process that wrote
boot_id  text   of the machine's boot
host     text   the machine
]] },
  { "inputs.jsonl", "everything that was read and could change the result, a line each", every_line .. [[
phase   text  load: before there was a run, part of its id; main: by the run, compared when it is asked for again
kind    text  engine, script, flag, file, module, experiment, env, task, model, numerics, evaluator, weights, rollouts, runs
name    text  what was read
digest  text  SHA-256 of it, or a version
]] },
  { "journal.jsonl", "what was computed, by key, beside samples and verdicts; the last line of a key counts", every_line .. [[
key    text   snapshot/NAME, update/WEIGHTS/BATCH, score/WEIGHTS/BATCH or cell/FOLDER
value  any    see below
]], by = function(line) return line.key:match "^%a+" end, kinds = {
    snapshot = { "the name of a state of weights", [[
value.id    text   the weights: a folder of ckpt/, or those that the model began with
value.step  whole  updates since then
]] },
    update = { "an update", [[
value.id          text    the new weights
value.step        whole   updates since the model's first weights
value.trained_on? object  what the weights have seen
value.trained_on.tasks?     list  numbers of tasks
value.trained_on.families?  list  families of tasks
value.report      object  what policy:update returned
value.report.**   any|null  by name
]] },
    cell = { "the run in FOLDER is a cell of this one", [[
value.name  text  what it was given
]] },
    score = { "log-probabilities of given tokens: value is a list of one a token", "" },
  } },
  { "rollouts.jsonl", "samples, in the order in which they ended", every_line .. [[
kind  text  sample or reward
key   text  SHA-256 of weights, prompt, sampling, seed and number: the same key is the same sample
]], by = function(line) return line.kind end, kinds = {
    sample = { "a sample", [[
run          text    id of the run that drew it
task?        whole   number of the task
level?       whole   level of the task
step?        whole   updates of the weights
place?       whole   step of the experiment's trajectory, which is more than `step` where nothing was learnt in between
draw         text    label of the stream that it was drawn from
i            whole   its number in the stream
seed         text    its seed
weights      text    id of the weights
prompt?      text    SHA-256 of the prompt's turns: a file of blobs/
prompt_sha   text    SHA-256 of the prompt's tokens
n_prompt?    whole   tokens of the prompt
temperature? number  of sampling
tokens       list    token ids
n_tokens?    whole   how many; like log-probabilities not on imported samples that come without
text         text    the answer
finish       text    stop, length, …
code?        text    the code in the answer
code_sha?    text    SHA-256 of it
parse        text    how the code was found
logprobs     list    log-probability of each token under the policy
logprobs_behaviour  list  under what it was drawn from (temperature, top_p, …)
logprob?     number  their sum
logprob_mean? number  their mean
logprob_code? number  the sum over the code
seen?        text    task or family: the weights that the run began with were trained on it
sample_ms?   number  from the request to its end
request?     whole   the first number of its request, where samples do not follow from their seeds alone
]] },
    reward = { "reward and advantage of a sample, when they are known; the last line of a key counts", [[
reward?     number  its reward
advantage?  number  its advantage
]] },
  } },
  { "evals.jsonl", "verdicts; a code that was judged before has one line", every_line .. [[
key           text     SHA-256 of task, code, protocol, evaluator, compiler and machine class
run           text     id of the run
task          whole    number of the task
task_name     text     its name
task_digest   text     SHA-256 of its document
level?        whole    its level
code_sha      text     SHA-256 of the code
tier          text     c, …
scale         text     sizes that were judged
protocol      text     fast or full
evaluator     text     version of the evaluator
machine       text     machine class
compiler      text     compiler
cache_state?  text     of the timed calls
confirms?     text     key of the first verdict: this is a second one, on new inputs
timed_in?     text     folder of the run whose clock measured this verdict
stage         text     how far it came
status        text     correct_fast, correct_slow, wrong_output, compile_error, runtime_error, timeout, …
correct       boolean  equal within the bound on all inputs
is_copy       boolean  the baseline's own code
error?        text|null  what went wrong, in a sentence
feedback?     text     what the model may be told
flags         list     copy, contended, unsettled, …
speedup       number   over the baseline; 0 when not correct, 1 for a copy
speedup_measured  number  as timed, copies included
speedup_lo?   number   lower end of its interval over all placements; at most 1 unless sure
speedup_hi?   number   upper end
sure?         boolean  faster at every placement of code and stack and on contaminated inputs, and settled
unsure?       text     why a speedup above 1 is not sure
placed?       list     the timings after the first, elsewhere or on other inputs
placed[].placement  whole    which place of code and stack
placed[].inputs     text     benchmark or contaminated
placed[].pairs      whole    pairs of runs
placed[].speedup    number   there
placed[].lo         number   lower end of its interval
placed[].hi         number   upper end
placed[].settled    boolean  its precision was reached
unit?         object   of a function in a user's file (`vegttt optimise`)
unit.truth    text     text: the rule of every task; spread: the bound is what eight runs differ by
unit.cflags   text     what both were compiled with
speedup_tuned? number  over the tuned reference
runtime_us?   number   of the candidate
ref_us?       number   of the baseline, in the same minutes
baseline_us?  number   the same, as older readers know it
worst?        number|null  largest error, in shares of the bound
roofline?     number   share of the memory roofline
floor_us?     number   time below which nobody can be
n_remeasured? whole    times that a figure below the floor was measured again
n_checks?     whole    calls that were compared before timing
n_check_processes? whole  processes that made them
n_compared?   whole    calls that were compared in all
longest_process? whole calls of one process, the last of which were compared
missed?       object   chance that a kernel wrong in one of so many calls was right in all of these
missed.one_in_100   number  wrong in one of 100
missed.one_in_200   number  wrong in one of 200
missed.one_in_1000  number  wrong in one of 1,000
n_repeated?   whole    calls on inputs that had been met before
nondeterminism? number  share of them that left other bits
check_ms?     number   time for that
time_ms?      number   time for timing
statistic?    text     how speedup was made from the trials
trials?       list     microseconds of the candidate's calls
ref_trials?   list     of the baseline's
ref_first?    list     whether the baseline went first
ref_stored?   list     trials of a baseline that is timed now and then: numbers of those that are kept times, scaled
trial_sets?   list     number of the input set of each
disturbed?    list     numbers of trials that were disturbed
ref_stored?   list     numbers of trials whose ref_trials are times kept from before, scaled by the last run before
cached        boolean  taken from the content store
jail?         list     layers that held the candidate
cores?        object   where it was timed
cores.run?    whole    core of the candidate
cores.clock?  whole    core of the clock
cores.corun?  number   what a second one beside it costs
build?        object   the compilation
build.end?        text     ok, failed, …
build.cached?     boolean  taken from the content store
build.ms?         number   time
build.cpu_ms?     number   processor time
build.max_rss_kib? number  memory
build.n_errors?   whole    errors
build.log?        text     SHA-256 of the compiler's log: a file of blobs/
build.diagnostics?  list   its messages
build.diagnostics[].line?    whole  line in the candidate
build.diagnostics[].column?  whole  column
build.diagnostics[].kind?    text   error; own: the candidate may have chosen the words; warning, …
build.diagnostics[].text?    text   the message
source?       text     SHA-256 of the assembled source: a file of blobs/
failure?      object   the first thing that went wrong in a run of the code
failure.kind?      text   wrong, crash, timeout, …
failure.scale?     text   sizes of it
failure.inputs?    text   the distribution of its inputs
failure.nth_call?  whole  which call of its process it was, where there were several
failure.call?      text   how the call ended
failure.signal?    whole  the signal
failure.syscall?   whole  the call of the system that was refused
failure.exit_code? whole  how the process left
failure.n_wrong?   whole  elements outside the bound
failure.n_checked? whole  elements compared
failure.n_nan?     whole  of them not a number
failure.n_unwritten? whole  of them never written
failure.diffs?     list   some of them
failure.diffs[].array?     text    the array
failure.diffs[].index?     whole   place in it
failure.diffs[].expected?  number|null  the truth
failure.diffs[].got?       number|null  what was there
failure.diffs[].bound?     number|null  what may lie between them
]] },
  { "metrics.jsonl", "what the script logged; every attempt writes it anew", every_line .. [[
kind  text       the name that the script gave
**?   any|null   the fields that it gave
]] },
  { "meter.jsonl", "costs so far, a line a charge; every attempt writes it anew", every_line .. [[
charged  object  as if the method ran alone
spent    object  what the run did
]] .. below("charged", units) .. below("spent", units) },
  { "ckpt/*/vegttt_weights.json", "what a state of weights is", [[
v           whole    version: 1
id          text     the weights
base        text     digest of the base model
numerics    text     backend, precision, instruction set and version that made it
step        whole    updates since the model's first weights
masters     boolean  it can be trained on: its moments are beside it
trained_on  text     JSON: the tasks and families it has seen
]] },
}

---The others, in words.
schema.others = {
  { "source/", "the script and its modules as they ran; another text of a name is NAME.2" },
  { "tables/NAME.csv, .md", "tables of the script: CSV as RFC 4180 has it, and Markdown; `vegttt help columns` explains columns" },
  { "plots/NAME.svg, .csv, .json", "charts; their points: series, x, y, lo, hi; and all that was drawn, for `vegttt plot`" },
  { "blobs/ab/SHA-256", "texts that records name: prompts, assembled sources, compiler logs" },
  { "ckpt/ID/", "states of weights: adapter_model.safetensors (fp32, exact), adapter_config.json (PEFT), vegttt.json; while the run "
    .. "can go on, vegttt_optimizer.safetensors of the newest" },
  { "tasks/NUMBER.json", "documents of tasks that do not come with vegttt" },
  { "log/attempt_NN.log, log/latest", "what an attempt did, with seconds since its start" },
  { "waits", "while cells of the run wait for other runs, the folders of those, a line each" },
  { "NAME.json, NAME/", "what the script saved (run:save)" },
  { "rollouts.index", "scalars of the samples of a large run, for reading it again; made anew when the records are others" },
  { "paper.md, dual_loop.svg", "of experiments/paper.lua: all its tables and figures on a page, and the drawing" },
}

-- ── reading the description ──────────────────────────────────────────────────────────────────────────────────────────

---{ { name, type, text, is_optional }, … } of a description.
function schema.fields(text)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    local name, kind, meaning = line:match "^(%S+)%s+(%S+)%s+(.*)$"
    out[#out + 1] = { name = name:gsub("%?$", ""), type = kind, text = meaning, is_optional = name:find "%?$" ~= nil }
  end
  return out
end

---The page.
function schema.page()
  local lines = { "The files of a run directory, runs/EXPERIMENT/STAMP/. A name with ? is not on every record.", "" }
  local function add(fields, indent)
    for _, f in ipairs(schema.fields(fields)) do
      lines[#lines + 1] = ("%s%-22s %-12s %s"):format(indent, f.name .. (f.is_optional and "?" or ""), f.type, f.text)
    end
  end
  for _, file in ipairs(schema.files) do
    lines[#lines + 1] = ("%s   %s"):format(file[1], file[2])
    add(file[3], "  ")
    for _, kind in ipairs(file.kinds and require("vegttt.errors").keys(file.kinds) or {}) do
      lines[#lines + 1] = ("  %s: %s"):format(kind, file.kinds[kind][1])
      add(file.kinds[kind][2], "    ")
    end
    lines[#lines + 1] = ""
  end
  for _, other in ipairs(schema.others) do lines[#lines + 1] = ("%s   %s"):format(other[1], other[2]) end
  return table.concat(lines, "\n") .. "\n"
end

-- ── holding records against it ───────────────────────────────────────────────────────────────────────────────────────

local is_a = {
  text = function(v) return type(v) == "string" end,
  number = function(v) return type(v) == "number" end,
  whole = function(v) return math.type(v) == "integer" or type(v) == "number" and v == math.floor(v) end,
  boolean = function(v) return type(v) == "boolean" end,
  list = function(v) return type(v) == "table" and (next(v) == nil or #v > 0) end,
  object = function(v) return type(v) == "table" and #v == 0 end,
  any = function() return true end,
}

local function fits(v, kind)
  if v == core.null then return kind:find "|null$" ~= nil end
  return is_a[kind:match "^%a+"](v)
end

-- The declared name of a path: itself, with a * in it, or the ** that it is below.
local function declared(path, by)
  if by[path] then return by[path] end
  local first, rest = path:match "^([^.]*)(.*)$"
  if by["*" .. rest] and not by[first] then return by["*" .. rest] end
  local above = path
  while above do
    above = above:match "^(.*)%.[^.]*$"
    local all = by[above and above .. ".**" or "**"]
    if all then return all end
  end
end

local function walk(v, path, by, present, problems)
  for k, x in pairs(v) do
    local place = type(k) == "number" and path .. "[]" or path == "" and k or path .. "." .. k
    local f = declared(place, by)
    if type(k) == "number" then
      if type(x) == "table" then walk(x, place, by, present, problems) end
    elseif not f then
      problems[#problems + 1] = place .. " is not documented"
    else
      present[f.name] = true
      if not fits(x, f.type) then problems[#problems + 1] = ("%s is no %s"):format(place, f.type) end
      if type(x) == "table" and not f.name:find "%*%*$" then walk(x, place, by, present, problems) end
    end
  end
end

---What is wrong with a record of a file of schema.files, in words; seen[FILE NAME] is set for each field it has.
function schema.check(file, record, seen)
  local fields, kind = schema.fields(file[3]), file.by and file.by(record)
  if kind and not file.kinds[kind] then return { ("the kind '%s' is not documented"):format(kind) } end
  if kind then
    for _, f in ipairs(schema.fields(file.kinds[kind][2])) do fields[#fields + 1] = f end
  end
  local by, present, problems = {}, {}, {}
  for _, f in ipairs(fields) do by[f.name] = f end
  walk(record, "", by, present, problems)
  for _, f in ipairs(fields) do
    local is_below = f.name:find "[.*%[]" -- there when what holds it is
    if present[f.name] then
      seen[file[1] .. " " .. f.name] = true
    elseif not f.is_optional and not is_below then
      problems[#problems + 1] = f.name .. " is missing"
    end
  end
  return problems
end

return schema
