-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt farm`: many workers of one queue (`vegttt worker`), on this machine or as a Slurm job array.
--
-- A farm is a folder, farms/NAME: worker.sh, which one worker runs; farm.json, which says what was started and how; and
-- the workers' logs. Slurm only places workers and starts them again (--requeue); which job goes where is the queue's
-- business. Two minutes before its time is over an element gets SIGUSR1, gives back what it has not begun and is put
-- into the line again, so a farm outlives the time limit of its partition until it is stopped.
--
-- stop ends what farm.json names and nothing else: job ids that sbatch gave, processes that still have the start time
-- they had.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local verb = require "vegttt.verb_common"

local farm = {}

local folder = "farms"
local early_s = 120 -- how long before its end Slurm tells a worker

-- ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- What a command printed, in one line, and whether it went well.
local function output_of(command)
  local pipe = io.popen(command .. " 2>&1", "r")
  local text = pipe:read("a"):gsub("%s+$", ""):gsub("%s*\n%s*", "; ")
  return text, pipe:close() == true
end

local function need_program(name, why)
  local _, is_there = output_of("command -v " .. name)
  if not is_there then errors.usage("there is no %s here, %s", name, why) end
end

-- The cores this process may use, as numbers.
local function own_cores()
  local cores = {}
  local allowed = core.read("/proc/self/status"):match "Cpus_allowed_list:%s*(%S+)"
  for part in allowed:gmatch "[^,]+" do
    local from, to = part:match "^(%d+)%-?(%d*)$"
    for i = tonumber(from), tonumber(to ~= "" and to or from) do cores[#cores + 1] = math.tointeger(i) end
  end
  return cores
end

-- When the process began, in ticks since the machine did; nil when there is none, or only what its parent has not
-- collected yet.
local function start_time(pid)
  local file = io.open(("/proc/%d/stat"):format(pid), "r")
  local text = file and file:read "a"
  if file then file:close() end
  local field = 2
  if text and text:find "%)%s[ZX][^)]*$" then return nil end
  for word in (text and text:match "^.*%)%s(.*)$" or ""):gmatch "%S+" do
    field = field + 1
    if field == 22 then return word end
  end
end

-- ── farms on disk ────────────────────────────────────────────────────────────────────────────────────────────────────

local function path_of(name) return folder .. "/" .. name end

local function write_record(record) core.write(path_of(record.name) .. "/farm.json", core.json_encode(record) .. "\n") end

local function records()
  local found = {}
  for _, name in ipairs(core.is_dir(folder) and core.list(folder) or {}) do
    local path = path_of(name) .. "/farm.json"
    if core.exists(path) then found[#found + 1] = core.json_decode(core.read(path), path) end
  end
  return found
end

-- The farm that is meant: the named one, or the only one that was not stopped.
local function record_of(name)
  local names, open = {}, {}
  for _, r in ipairs(records()) do
    names[r.name] = r
    if not r.stopped then open[#open + 1] = r end
  end
  if name and names[name] then return names[name] end
  if name then errors.usage("there is no farm '%s' in %s/%s", name, folder, errors.hint(name, errors.keys(names))) end
  if #open == 1 then return open[1] end
  errors.usage(#open == 0 and "no farm was started here" or "%d farms were started here; say which by its name", #open)
end

-- ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The program itself and not its launcher, which would look whether it has to be built, on every node at once.
local function worker_command(f)
  local words = { core.program(), "worker", "--queue", f.queue }
  for _, name in ipairs { "tier", "lease", "jobs" } do
    if f[name] then table.move({ "--" .. name, tostring(f[name]) }, 1, 2, #words + 1, words) end
  end
  for i, word in ipairs(words) do words[i] = verb.quote(word) end
  return table.concat(words, " ")
end

local function slurm_script(f, name)
  local lines = { "#!/bin/bash" }
  local function say(format, ...) lines[#lines + 1] = format:format(...) end
  local function ask(option, value) if value then say("#SBATCH --%s=%s", option, value) end end
  ask("job-name", "vegttt-" .. name)
  ask("array", "0-" .. f.workers - 1)
  ask("cpus-per-task", f.cores)
  ask("gres", f.gpus and "gpu:" .. f.gpus)
  ask("time", f.time)
  ask("partition", f.partition)
  ask("account", f.account)
  ask("output", path_of(name) .. "/worker-%a.log")
  say "#SBATCH --requeue"
  say "#SBATCH --open-mode=append"
  say("#SBATCH --signal=B:USR1@%d", early_s)
  for option in (f.sbatch or ""):gmatch "%S+" do say("#SBATCH %s", option) end
  say ""
  say "# Slurm tells the shell; the worker gives back what it has not begun, and the element is put into the line again."
  say "again() {"
  say '    kill -USR1 "$worker"; wait "$worker"'
  say '    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"'
  say "    exit 0"
  say "}"
  say "trap again USR1"
  say("%s &", worker_command(f))
  say "worker=$!"
  say 'wait "$worker"'
  return table.concat(lines, "\n") .. "\n"
end

-- Each worker has cores of its own, where there are enough.
local function local_script(f, name)
  local cores = own_cores()
  local n = math.max(1, f.cores or #cores // f.workers)
  local lines = { "#!/bin/sh", "# Starts the workers and prints the number of each one's process." }
  for i = 1, f.workers do
    local set = {}
    for k = 1, n do set[k] = cores[((i - 1) * n + k - 1) % #cores + 1] end
    lines[#lines + 1] = ("setsid nohup taskset -c %s %s >>%s 2>&1 </dev/null & echo $!"):format(table.concat(set, ","),
      worker_command(f), verb.quote(("%s/worker-%d.log"):format(path_of(name), i - 1)))
  end
  return table.concat(lines, "\n") .. "\n", n * f.workers > #cores
end

local starters = {}

function starters.slurm(record)
  need_program("sbatch", "and `farm slurm` submits to Slurm; `farm local` starts workers on this machine")
  local text, is_fine = output_of("sbatch --parsable " .. verb.quote(path_of(record.name) .. "/worker.sh"))
  local id = text:match "^(%d+)"
  if not is_fine or not id then errors.usage("sbatch refused: %s", text) end
  record.job = id
  return ("submitted job array %s"):format(id)
end

starters["local"] = function(record)
  need_program("taskset", "and workers are given cores with it (Debian: util-linux)")
  local text = output_of("sh " .. verb.quote(path_of(record.name) .. "/worker.sh"))
  record.processes = {}
  for pid in text:gmatch "%d+" do
    record.processes[#record.processes + 1] = { pid = math.tointeger(tonumber(pid)), began = start_time(pid) }
  end
  return ("started %d workers"):format(#record.processes)
end

local function start(kind, f, name)
  if not f.queue then errors.usage("farm %s start needs --queue redis://HOST[:PORT]/NAME", kind) end
  name = name or f.queue:match "/([%w._-]+)[^/]*$" or "farm"
  if not name:find "^[%w._-]+$" then errors.usage("a farm's name is letters, digits and . _ -, not '%s'", name) end
  local script, is_crowded
  if kind == "slurm" then script = slurm_script(f, name) else script, is_crowded = local_script(f, name) end
  if is_crowded then
    core.err "vegttt: there are more workers than cores for them; those that share cores disturb each other's timings\n"
  end
  if f["dry-run"] then
    verb.say("%s", script)
    return 0
  end
  local path = path_of(name)
  if core.exists(path .. "/farm.json") and not core.json_decode(core.read(path .. "/farm.json"), path).stopped then
    errors.usage("the farm '%s' was started already; `vegttt farm stop %s` first, or give this one another name", name, name)
  end
  core.mkdir(path)
  core.write(path .. "/worker.sh", script)
  local record = { name = name, kind = kind, queue = f.queue, workers = f.workers, started = os.time() }
  local what = starters[kind](record)
  write_record(record)
  verb.say("%s for the queue %s; logs and record in %s", what, f.queue, path)
  return 0
end

-- ── looking and stopping ─────────────────────────────────────────────────────────────────────────────────────────────

local function is_alive(process) return process.began and start_time(process.pid) == process.began end

local function count_alive(record)
  local n = 0
  for _, p in ipairs(record.processes or {}) do n = n + (is_alive(p) and 1 or 0) end
  return n
end

local function status_of(record)
  local since = os.date("%Y-%m-%d %H:%M", record.started)
  local state = record.stopped and "stopped" or ("%d workers asked for"):format(record.workers)
  verb.say("%s  %s  %s  since %s, %s", record.name, record.kind, record.queue, since, state)
  if record.processes then
    verb.say("  %d of %d processes live", count_alive(record), #record.processes)
  elseif not record.stopped then
    local text, is_fine = output_of(("squeue -h -r -j %s -o '%%T'"):format(record.job))
    local count, order = {}, {}
    for word in (is_fine and text or ""):gmatch "%u+" do
      if not count[word] then order[#order + 1] = word end
      count[word] = (count[word] or 0) + 1
    end
    for i, word in ipairs(order) do order[i] = ("%d %s"):format(count[word], word:lower()) end
    verb.say("  job array %s: %s", record.job, #order > 0 and table.concat(order, ", ") or "no element is left")
  end
end

local function status(name)
  local all = name and { record_of(name) } or records()
  if #all == 0 then verb.say "no farm was started here" end
  for _, record in ipairs(all) do status_of(record) end
  return 0
end

local function stop(name)
  local record = record_of(name)
  if record.job then
    local text, is_fine = output_of(("scancel --signal=USR1 --batch %s; scancel %s"):format(record.job, record.job))
    if not is_fine then errors.usage("scancel refused: %s", text) end
    verb.say("cancelled job array %s", record.job)
  else
    local n = count_alive(record)
    for _, p in ipairs(record.processes) do
      if is_alive(p) then output_of(("kill -TERM %d"):format(p.pid)) end
    end
    verb.say("told %d workers to stop; each gives back what it has not begun", n)
  end
  record.stopped = os.time()
  write_record(record)
  return 0
end

-- ── the verb ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function doing(_, words)
  if starters[words[1]] then return "farm " .. words[1] .. " start" end
  return "farm " .. tostring(words[1])
end

local function run(f, words)
  local first, second, third = words[1], words[2], words[3]
  if starters[first] and second == "start" then return start(first, f, third) end
  if (first == "status" or first == "stop") and not third then
    return first == "status" and status(second) or first == "stop" and stop(second)
  end
  errors.usage "farm slurm start, farm local start, farm status or farm stop; --help says more"
end

function farm.main(argv)
  local of_slurm, of_local = "farm slurm start", "farm local start"
  local function at_start(option) return verb.with(option, of_slurm, of_local) end
  local function at_slurm(option) return verb.with(option, of_slurm) end
  return verb.main(argv, { run = run, doing = doing, max_words = 3,
    help = [[vegttt farm slurm start [NAME] --queue ADDRESS --workers N    workers as a Slurm job array
vegttt farm local start [NAME] --queue ADDRESS --workers N    workers on this machine, each with cores of its own
vegttt farm status [NAME]
vegttt farm stop [NAME]                                       stops what was started here, and nothing else

The workers judge what experiments with the same --queue ask for (`vegttt worker --help`). What a farm started is
recorded in farms/NAME, with the script of a worker and the logs.]],
    options = {
      at_start { "queue", "ADDRESS", "the queue, redis://HOST[:PORT]/NAME" },
      at_start { "workers", "N", "how many", kind = "integer", min = 1, max = 10000, default = 1 },
      at_start { "cores", "N", "cores of each; here unless said an equal share", kind = "integer", min = 1, max = 1024 },
      at_slurm { "gpus", "N", "GPUs of each", kind = "integer", min = 1, max = 16 },
      at_slurm { "time", "LIMIT", "time limit of an element, as Slurm writes it: 8:00:00" },
      at_slurm { "partition", "NAME", "where" },
      at_slurm { "account", "NAME", "on whose account" },
      at_slurm { "sbatch", "OPTIONS", "more options for sbatch, blanks between them: '--exclusive --mem=16G'" },
      at_start { "tier", "NAME", "what they judge with", choices = core.eval_tiers() },
      at_start { "lease", "S", "as of `vegttt worker`", kind = "number", min = 1, max = 3600 },
      at_start { "jobs", "N", "as of `vegttt worker`", kind = "integer", min = 1, max = 256 },
      at_start { "dry-run", nil, "print the script and start nothing" },
    } })
end

return farm
