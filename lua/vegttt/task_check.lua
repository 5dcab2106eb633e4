-- SPDX-License-Identifier: Apache-2.0
--
-- Is a task sound? The questions of DECISIONS.md §1 put to a task, in the order in which they can fail: do its texts
-- compile as C and as truth, do its own references stay within its bound on every distribution, is every null
-- candidate refused, can its times be told apart. Used by `vegttt task check` and by `vegttt optimise`.
--
-- A finding is { "ok" | "warn" | "FAIL", title, text }; a task is sound when none has failed. What depends on the
-- machine's mood (noise, a baseline a little too short) only warns.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local tasks = require "vegttt.tasks"
local verb = require "vegttt.verb_common"

local task_check = {}

local sensible_us, tolerable_us = { 30, 2000 }, { 10, 8000 } -- machines differ by a factor of two each way
local least_us_of_unit = 1 -- the user chose the sizes, and what is not sure is not said
local sensible_bytes = 1e6 -- what the second-level cache of today's cores holds beside the code's own data
local max_noise = 0.02
local is_of_task = { EFORMAT = true, ETIMEOUT = true, EINVAL = true } -- errors of a probe that speak of the task, not the machine
local n_parallel = 8
local min_half = 3 -- bounds that inputs rounded to half precision have to be off on some distribution

---Number of tokens of the task's prompt for the default model, or nil when it is not on this machine.
function task_check.prompt_tokens(task)
  local p = task:prompt()
  return core.prompt_tokens(core.default_model, p:messages {}, p.prefix)
end

local function worst_by_inputs(sets)
  local rows, by = {}, {}
  for _, s in ipairs(sets) do
    local name = s.scale == "cpu" and s.inputs or s.scale:find "^=" and s.inputs .. " (drawn sizes)"
      or ("%s (sizes '%s')"):format(s.inputs, s.scale)
    local row = by[name]
    if not row then
      row = { inputs = name, baseline = 0, tuned = s.tuned and 0 }
      by[name] = row
      rows[#rows + 1] = row
    end
    -- Numbers beyond ordinary ones that the task's own texts were not written for: no verdict rests on them.
    if s.is_beyond and (s.baseline > 1 or s.tuned and s.tuned > 1) then row.is_left_out = true end
    row.baseline = math.max(row.baseline, s.baseline)
    if s.tuned then row.tuned = math.max(row.tuned, s.tuned) end
  end
  return rows
end

local function add_bounds(add, probe)
  local rows = worst_by_inputs(probe.sets)
  local is_within = true
  for _, r in ipairs(rows) do is_within = is_within and (r.is_left_out or r.baseline <= 1 and (not r.tuned or r.tuned <= 1)) end
  local columns = rows[1] and rows[1].tuned and "largest, baseline and tuned reference:" or "largest, baseline:"
  add(is_within and "ok" or "FAIL", "error / bound", columns)
  for _, r in ipairs(rows) do
    add("", "", r.is_left_out and ("  left out        %s: more than the task's own text can take"):format(r.inputs)
      or ("  %-7.3f %-7s %s"):format(r.baseline, r.tuned and ("%.3f"):format(r.tuned) or "", r.inputs))
  end
end

-- Judged as a candidate the baseline is an A/A test: its ratio to itself is the noise.
local function add_times(add, task, tuned, o)
  local r = verb.judge(task, task.body, o)
  if not r.correct then return add("FAIL", "baseline", "as a candidate it is " .. r.status .. ": " .. r.feedback) end
  local us, is_unit = r.ref_us, core.json_decode(task.json, "the task").unit ~= nil
  local state = us >= sensible_us[1] and us <= sensible_us[2] and "ok"
    or us >= (is_unit and least_us_of_unit or tolerable_us[1]) and us <= tolerable_us[2] and "warn" or "FAIL"
  add(state, "baseline time", ("%.3f ms at the cpu sizes%s"):format(us / 1e3,
    state == "ok" and "" or us < sensible_us[1] and "; make the sizes larger (0.03 to 2 ms)"
      or "; make the sizes smaller (0.03 to 2 ms)"))
  local noise = math.max(math.abs(r.speedup_hi - 1), math.abs(r.speedup_lo - 1))
  add(noise <= max_noise and "ok" or "warn", "noise floor",
    ("the baseline against itself: %.4f, 95 %% interval %.4f to %.4f%s"):format(r.speedup_measured,
    r.speedup_lo, r.speedup_hi, noise <= max_noise and "" or "; other work is running, or the sizes are small"))
  local text = ("the baseline runs at %.2g %% of what memory allows"):format(100 * r.roofline)
  local is_believed = r.status ~= "flagged"
  if tuned then
    local t = verb.judge(task, tuned, o)
    if t.correct then
      text = text .. (", the tuned reference at %.2g %% (%.2fx)"):format(100 * t.roofline, t.speedup_measured)
      is_believed = is_believed and t.status ~= "flagged"
    end
  end
  if not is_believed then text = text .. ": faster than `bytes` allows; count the bytes that must move" end
  add(is_believed and "ok" or "FAIL", "roofline", text)
end

---Bytes of all arrays of a task at its cpu sizes.
function task_check.working_set(task)
  local bytes = 0
  for _, a in ipairs(core.task_layout(task.handle, "cpu").arrays) do bytes = bytes + a.bytes end
  return bytes
end

-- Runs whose data come from beyond a core's own caches depend on the neighbours: their times scatter.
local function add_working_set(add, task)
  local bytes = task_check.working_set(task)
  add(bytes <= sensible_bytes and "ok" or "warn", "working set", ("%.2f MB at the cpu sizes%s"):format(bytes / 1e6,
    bytes <= sensible_bytes and "" or "; above 1 MB a run leaves the core's own caches and its time scatters"))
end

-- The task at its cpu sizes alone: a null candidate is written for one shape, and crashing on another is no refusal.
local function one_shape(task)
  local document = core.json_decode(task.json, "the task")
  document.sizes, document.range = { cpu = document.sizes.cpu }, {}
  for name, value in pairs(document.sizes.cpu) do document.range[name] = core.array { value, value } end
  return tasks.from_table(document, "the task")
end

-- The largest error of a body over all distributions, in bounds; r: its verdict, which ends at the first that refuses it.
local function worst_of(task, body, r, o)
  local worst, n = r.worst, 0
  if r.correct or worst >= min_half then return worst end
  local function of_one(d)
    local document, is_one = core.json_decode(task.json, "the task"), false
    for _, a in ipairs(document.arrays) do
      if type(a.dist) == "table" and a.dist[d] then a.dist, is_one = core.array { a.dist[d] }, true end
    end
    return is_one and tasks.from_table(document, "the task")
  end
  repeat
    n = n + 1
    local one = of_one(n)
    if one then worst = math.max(worst, verb.judge(one, body, o).worst) end
  until not one or worst >= min_half
  return worst
end

-- At sizes where the honest error has grown to that of half precision, kernels in half precision would be let in by luck.
local function add_half(add, half, is_unit)
  if not half then return end
  local is_far = half >= min_half
  add(is_far and "ok" or is_unit and "warn" or "FAIL", "half precision", ("inputs rounded to half are off by %s bounds%s"):format(
    half >= 1e300 and "any number of" or ("%.2g"):format(half),
    is_far and "" or (", less than %d: make the sizes smaller (fewer terms in a sum)"):format(min_half)))
end

-- Of a user's function, what no sound task accepts. Others may be right for it: a maximum seldom depends on the last
-- element, a mean not on its low bits. That is said, and it is the user who knows.
local function is_never_right(name, document)
  local is_in_place = false -- then a last element may stay what it was
  for _, a in ipairs(document.arrays) do is_in_place = is_in_place or a.role == "state" end
  return name == "zeros" or name == "ones" or name == "stale_output" or name == "off_by_one"
    or (name == "skip_last" or name == "skip_tile") and not is_in_place or name:find "^copy_" ~= nil
end

local function has_inputs(document)
  for _, a in ipairs(document.arrays) do
    if a.role ~= "out" then return true end
  end
  return false
end

local function add_nulls(add, findings, task, probe, o)
  local document = core.json_decode(task.json, "the task")
  task = one_shape(task)
  local nulls = core.task_nulls(task.handle)
  local passed, excused, n_refused, half = {}, {}, 0, nil
  sched.map(nulls, function(null)
    local r = verb.judge(task, null.body, o)
    if null.name == "half_inputs" and not null.blind then half = worst_of(task, null.body, r, o) end
    if not r.correct then
      n_refused = n_refused + 1
    else
      table.insert(null.blind and excused or passed, null.name)
    end
  end, { limit = n_parallel })
  local has_stale = has_inputs(document) -- without inputs the previous call's answer is the right one
  if has_stale and probe.stale_refused then
    n_refused = n_refused + 1
  elseif has_stale then
    passed[#passed + 1] = "stale_output"
  end
  local suspicious = {}
  for i = #passed, 1, -1 do
    if document.unit and not is_never_right(passed[i], document) then table.insert(suspicious, table.remove(passed, i)) end
  end
  table.sort(passed)
  table.sort(suspicious)
  table.sort(excused)
  findings.is_stale_accepted = has_stale and not probe.stale_refused
  findings.accepted = suspicious
  add(#passed > 0 and "FAIL" or #suspicious > 0 and "warn" or "ok", "null candidates",
    ("%d of %d refused%s%s%s"):format(n_refused, #nulls + (has_stale and 1 or 0),
    #passed > 0 and "; accepted: " .. table.concat(passed, ", ")
      .. " (add distributions that expose them, or name them in `blind` with the reason)" or "",
    #excused > 0 and "; accepted and named in `blind`: " .. table.concat(excused, ", ") or "",
    #suspicious > 0 and "; accepted, which may be right for this function: " .. table.concat(suspicious, ", ") or ""))
  add_half(add, half, document.unit)
end

local function add_prompt(add, task)
  local n = task_check.prompt_tokens(task)
  add("ok", "prompt", n and ("%d tokens for the default model"):format(n)
    or "its tokens are counted once the default model is here (vegttt model pull " .. core.default_model .. ")")
end

---[waits] All findings about a task: { sound, is_stale_accepted, has_crashed, { state, title, text }, … }.
---o: { full = boolean }.
function task_check.run(task, o)
  local findings = { sound = true }
  local function add(state, title, text)
    findings[#findings + 1] = { state, title, text }
    if state == "FAIL" then findings.sound = false end
  end
  local protocol = o.full and "full" or "fast"
  local options = { protocol = protocol, fresh = o.full or false }
  add("ok", "document", ("%s; %s"):format(task.signature, task.digest:sub(1, 12)))
  local ok, probe = pcall(core.task_probe, task.handle, protocol, verb.unsafe_jail)
  if not ok then
    if not errors.is(probe) or not is_of_task[probe.code] then error(probe, 0) end
    add("FAIL", "references", tostring(probe))
    findings.has_crashed = (tostring(probe):find "crashed on valid inputs" or tostring(probe):find "; fault, ") ~= nil
    return findings
  end
  local tuned = core.json_decode(task.json, "the task").tuned
  local unit = core.json_decode(task.json, "the task").unit
  add("ok", "references", ("compile as C and as truth%s%s"):format(tuned and "" or "; there is no tuned reference",
    unit and unit.truth == "spread" and "; the bound is the spread of eight runs" or ""))
  add_bounds(add, probe)
  add_working_set(add, task)
  add_times(add, task, tuned, options)
  add_nulls(add, findings, task, probe, options)
  add_prompt(add, task)
  return findings
end

---The findings as text.
function task_check.text(findings)
  local lines = {}
  for _, f in ipairs(findings) do lines[#lines + 1] = ("  %-5s %-16s %s"):format(f[1], f[2], f[3]) end
  return table.concat(lines, "\n")
end

---Titles of what failed, as one line.
function task_check.failures(findings)
  local titles = {}
  for _, f in ipairs(findings) do
    if f[1] == "FAIL" then titles[#titles + 1] = f[2] end
  end
  return table.concat(titles, ", ")
end

return task_check
