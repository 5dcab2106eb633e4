-- SPDX-License-Identifier: Apache-2.0
--
-- Rollouts that another program wrote, as the records that runs have: a line of JSON each, whose fields are named by a map.
--
-- Nothing is made up. A field that the file does not have is absent in the record, and what rests on it (a rule that ranks
-- by likelihood, an interval of a speedup) says so when it is asked for. Two things follow from others: the code from the
-- answer, sums from log-probabilities. What was measured elsewhere has `foreign` as its protocol, machine class and evaluator
-- unless the file says which, so that compare does not mix it with what this engine measured.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local tasks = require "vegttt.tasks"

local foreign = {}

local is_a = {
  text = function(v) return type(v) == "string" or type(v) == "number" end,
  number = function(v) return type(v) == "number" end,
  whole = function(v) return type(v) == "number" and math.tointeger(v) ~= nil end,
  boolean = function(v) return type(v) == "boolean" end,
  numbers = function(v)
    if type(v) ~= "table" or next(v) ~= nil and #v == 0 then return false end
    for _, x in ipairs(v) do
      if type(x) ~= "number" then return false end
    end
    return true
  end,
}

---What a line may say: { name, type, of = "sample" or "verdict", meaning }.
foreign.fields = {
  { "task", "text", "sample", "number or name of the task, or its file" },
  { "text", "text", "sample", "the whole answer; the code in it is found" },
  { "code", "text", "sample", "the code, where it stands by itself" },
  { "i", "whole", "sample", "number among the samples of its task" },
  { "step", "whole", "sample", "updates of the weights [0]" },
  { "draw", "text", "sample", "label of the draw [main]" },
  { "seed", "text", "sample", "seed" },
  { "weights", "text", "sample", "name of the model or checkpoint" },
  { "temperature", "number", "sample", "temperature" },
  { "prompt", "text", "sample", "what the model was asked; only told apart" },
  { "tokens", "numbers", "sample", "token ids" },
  { "n_tokens", "whole", "sample", "length in tokens" },
  { "logprobs", "numbers", "sample", "log-probability of each token" },
  { "logprob", "number", "sample", "their sum" },
  { "finish", "text", "sample", "stop, length, …" },
  { "reward", "number", "sample", "reward" },
  { "correct", "boolean", "verdict", "the code is correct: without it there are no verdicts" },
  { "speedup", "number", "verdict", "over the baseline" },
  { "speedup_lo", "number", "verdict", "lower end of its interval" },
  { "speedup_hi", "number", "verdict", "upper end" },
  { "is_copy", "boolean", "verdict", "the baseline's own code" },
  { "runtime_us", "number", "verdict", "microseconds" },
  { "ref_us", "number", "verdict", "of the baseline" },
  { "feedback", "text", "verdict", "what was said about it" },
  { "protocol", "text", "verdict", "how it was timed" },
  { "machine", "text", "verdict", "where" },
  { "evaluator", "text", "verdict", "by what" },
}
local by_name, names = {}, {}
for i, f in ipairs(foreign.fields) do by_name[f[1]], names[i] = f, f[1] end

---"text=completion,task=problem_id" -> { text = "completion", … }; raises a usage error.
function foreign.map(text)
  local out = {}
  for part in (text or ""):gmatch "[^,]+" do
    local ours, theirs = part:match "^%s*([%w_]+)%s*=%s*(.-)%s*$"
    if not ours or theirs == "" then errors.usage("--map takes OURS=THEIRS,…, like text=completion,task=problem_id, not '%s'", part) end
    if not by_name[ours] then errors.usage("--map: a rollout has no field '%s'%s; --help lists them", ours, errors.hint(ours, names)) end
    if out[ours] then errors.usage("--map names '%s' twice", ours) end
    out[ours] = theirs
  end
  return out
end

-- The value at a path like "metrics.reward"; a field of that very name comes first.
local function at(line, path)
  if line[path] ~= nil then return line[path] end
  local v = line
  for part in path:gmatch "[^.]+" do
    v = type(v) == "table" and v[part]
    if v == nil or v == false then return v end
  end
  return v
end

local function bad(path, n, format, ...) errors.usage("line %d of %s: %s", n, path, format:format(...)) end

-- The fields of one line by our names.
local function read_fields(line, map, path, n, seen)
  local out = {}
  for _, f in ipairs(foreign.fields) do
    local from = map[f[1]] or f[1]
    local v = at(line, from)
    if v ~= nil and v ~= core.null then
      if not is_a[f[2]](v) then bad(path, n, "%s is no %s", from == f[1] and from or ("%s (%s)"):format(from, f[1]), f[2]) end
      out[f[1]] = f[2] == "text" and tostring(v) or f[2] == "whole" and math.tointeger(v) or v
      seen[f[1]] = (seen[f[1]] or 0) + 1
    end
  end
  return out
end

local function sum(values)
  local total = 0
  for _, v in ipairs(values) do total = total + v end
  return total
end

-- Bounds of single fields: least, whether more than that is needed, most. What rounding makes of a log-probability of 0
-- passes.
local bounds = { i = { 1 }, step = { 0 }, temperature = { 0 }, n_tokens = { 0 }, logprob = { -math.huge, false, 1e-3 }, speedup = { 0 },
  speedup_lo = { 0 }, speedup_hi = { 0 }, runtime_us = { 0, true }, ref_us = { 0, true } }

-- Numbers that no measurement gives, each by its field and with its line.
local function check_numbers(row, path, n)
  for _, f in ipairs(foreign.fields) do
    local name, v, b = f[1], row[f[1]], bounds[f[1]]
    if math.type(v) == "float" and (v ~= v or v == math.huge or v == -math.huge) then bad(path, n, "%s is %s, no finite number", name, tostring(v)) end
    if v and b and (v < b[1] or b[2] and v == b[1]) then
      bad(path, n, "%s is %s; it must be %s %g", name, tostring(v), b[2] and "more than" or "at least", b[1])
    end
    if v and b and b[3] and v > b[3] then bad(path, n, "%s is %s; a log-probability is at most 0", name, tostring(v)) end
  end
  for i, v in ipairs(row.logprobs or {}) do
    if not (v <= 1e-3 and v > -math.huge) then bad(path, n, "logprobs: number %d is %s; a log-probability is finite and at most 0", i, tostring(v)) end
  end
  for i, v in ipairs(row.tokens or {}) do
    if not math.tointeger(v) or v < 0 then bad(path, n, "tokens: number %d is %s, no token's id", i, tostring(v)) end
  end
  for _, name in ipairs { "tokens", "logprobs" } do
    if row[name] and row.n_tokens and #row[name] ~= row.n_tokens then
      bad(path, n, "n_tokens is %d and %s has %d numbers", row.n_tokens, name, #row[name])
    end
  end
  if row.tokens and row.logprobs and #row.tokens ~= #row.logprobs then
    bad(path, n, "tokens has %d numbers and logprobs %d", #row.tokens, #row.logprobs)
  end
  local total = row.logprobs and sum(row.logprobs)
  if row.logprob and total and math.abs(row.logprob - total) > 1e-2 + 1e-3 * math.abs(total) then
    bad(path, n, "logprob is %s and the sum of logprobs %s", tostring(row.logprob), tostring(total))
  end
  if row.correct and row.speedup and row.speedup <= 0 then bad(path, n, "speedup is %s, and correct is true", tostring(row.speedup)) end
  if row.speedup_lo and row.speedup_hi and row.speedup_lo > row.speedup_hi then
    bad(path, n, "speedup_lo is %s, above speedup_hi, %s", tostring(row.speedup_lo), tostring(row.speedup_hi))
  end
end

---Rows of a file: fields by our names, .n the line. Also how many lines have each field, and the names of fields of the file
---that nothing takes. Every problem is a usage error that names the line.
function foreign.read(path, map)
  if not core.exists(path) then errors.usage("there is no file %s", path) end
  if core.is_dir(path) then errors.usage("%s is a folder, not a file of JSON lines", path) end
  local rows, seen, taken, left = {}, {}, {}, {}
  for _, f in ipairs(foreign.fields) do taken[(map[f[1]] or f[1]):match "^[^.]*"] = true end
  local n = 0
  for text in io.lines(path) do
    n = n + 1
    if text:find "%S" then
      local ok, line = pcall(core.json_decode, text, "a line")
      if not ok or type(line) ~= "table" or #line > 0 then bad(path, n, "it is no JSON object") end
      local row = read_fields(line, map, path, n, seen)
      row.n = n
      if not row.task then bad(path, n, "it names no task; --map task=FIELD says where the task stands") end
      if not (row.text or row.code) then bad(path, n, "it holds neither an answer nor code; --map text=FIELD says where the answer stands") end
      check_numbers(row, path, n)
      rows[#rows + 1] = row
      for name in pairs(line) do
        if not taken[name] then left[name] = true end
      end
    end
  end
  if #rows == 0 then errors.usage("%s holds no line", path) end
  for ours, theirs in pairs(map) do
    if not seen[ours] then errors.usage("--map: no line of %s has the field '%s'", path, theirs) end
  end
  return rows, seen, errors.keys(left)
end

---task(name) -> vt.Task: a number, a name, or a task file; raises a usage error that names the line.
function foreign.tasks(path)
  local by_id, id_of = tasks.shipped(1)
  local known = {}
  return function(row)
    local what = row.task
    if not known[what] then
      local id = math.tointeger(tonumber(what)) or id_of[what] or math.tointeger(tonumber(what:match "^(%d+)_"))
      if not what:find "%.lua$" and not by_id[id] then
        bad(path, row.n, "there is no task '%s'%s; a task of your own is a .lua file, `vegttt task ls` lists the others", what,
          errors.hint(what, errors.keys(id_of)))
      end
      known[what] = tasks.get { ids = { what:find "%.lua$" and what or tostring(id) } }[1]
    end
    return known[what]
  end
end

---Puts the code of each row into its .found. An answer in which none is found and that has a verdict of its own is its code,
---whole: one in another language, or in a form that is not looked for here. Verdicts of one code that were not come by in one
---way are a usage error.
function foreign.find_code(path, rows, task_of, is_judged_here)
  local first = {}
  for _, row in ipairs(rows) do
    local task = task_of(row)
    row.found = row.code or core.extract(row.text, task.name)
    if not is_judged_here and row.correct ~= nil then
      row.found = row.found or row.text
      local name = task.id .. "/" .. row.found
      first[name] = first[name] or row
      for _, field in ipairs { "protocol", "machine", "evaluator" } do
        if row[field] ~= first[name][field] then
          bad(path, row.n, "%s is %s, and %s for the same code in line %d; import what was judged in two ways as two runs", field,
            row[field] or "absent", first[name][field] or "absent", first[name].n)
        end
      end
    end
  end
end

---The line of rollouts.jsonl. number: its place among the samples of its task and weights; run: the run that it enters;
---source: digest of the file, for lines of two files are two samples.
function foreign.sample(row, task, number, run, source)
  local weights = core.sha256("foreign weights " .. (row.weights or ""))
  local code, logprobs = row.found, row.logprobs or {}
  local n = row.n_tokens or row.tokens and #row.tokens or row.logprobs and #row.logprobs or nil
  local logprob = row.logprob or row.logprobs and sum(row.logprobs) or nil
  return {
    key = core.sha256(core.json_encode { "foreign", source, row.n, task.digest, row.text or "", row.code or "", weights }), run = run.id,
    task = task.id, level = task.level, step = row.step or 0, i = row.i or number, draw = row.draw or "main",
    seed = math.type(tonumber(row.seed)) == "integer" and row.seed or tostring(number), weights = weights,
    prompt_sha = core.sha256(row.prompt or "foreign prompt"), temperature = row.temperature,
    text = row.text or code, tokens = core.array(row.tokens or {}), n_tokens = n, finish = row.finish or "stop",
    code = code, code_sha = code and core.sha256(code), parse = code and "ok" or row.text == "" and "empty" or "malformed",
    logprobs = core.array(logprobs), logprobs_behaviour = core.array(logprobs), logprob = logprob,
    logprob_mean = logprob and n and (n > 0 and logprob / n or 0) or nil, -- an empty answer's is 0, as where it is drawn here
    logprob_code = logprob,
  }
end

local function median(values)
  table.sort(values)
  return #values > 0 and core.stats.quantile(values, 0.5) or nil
end

---One row for several with verdicts of one code, by a rule: correct if all of them are, the median of the speedups and
---times of those that are, the widest interval, a copy if one says so. Second: whether they differ.
function foreign.one_verdict(rows)
  local out, differ = {}, false
  for k, v in pairs(rows[1]) do out[k] = v end
  local n_correct, of = 0, { speedup = {}, runtime_us = {}, ref_us = {}, speedup_lo = {}, speedup_hi = {} }
  for _, row in ipairs(rows) do
    for _, name in ipairs { "correct", "speedup", "speedup_lo", "speedup_hi", "is_copy" } do differ = differ or row[name] ~= rows[1][name] end
    if not row.correct and out.correct then out.correct, out.feedback = false, row.feedback end
    out.is_copy = out.is_copy or row.is_copy
    n_correct = n_correct + (row.correct and 1 or 0)
    for name, values in pairs(of) do
      if row.correct then values[#values + 1] = row[name] end
    end
  end
  for _, name in ipairs { "speedup", "runtime_us", "ref_us" } do out[name] = median(of[name]) end
  local has_intervals = n_correct > 0 and #of.speedup_lo == n_correct and #of.speedup_hi == n_correct
  table.sort(of.speedup_lo)
  table.sort(of.speedup_hi)
  out.speedup_lo = has_intervals and of.speedup_lo[1] or nil
  out.speedup_hi = has_intervals and of.speedup_hi[n_correct] or nil
  return out, differ
end

---The line of evals.jsonl of a row that has a verdict.
function foreign.verdict(row, task, sample, run)
  local speedup = row.correct and (row.speedup or 1) or 0
  return {
    key = core.sha256("foreign verdict " .. sample.key), run = run.id, task = task.id, task_name = task.name, task_digest = task.digest,
    level = task.level, code_sha = sample.code_sha, tier = "foreign", scale = "foreign", protocol = row.protocol or "foreign",
    evaluator = row.evaluator or "foreign", machine = row.machine or "foreign", compiler = "foreign", stage = "foreign",
    status = not row.correct and "wrong_output" or speedup > 1 and "correct_fast" or "correct_slow", correct = row.correct,
    is_copy = row.is_copy or false, flags = core.array {}, speedup = speedup, speedup_measured = speedup, speedup_lo = row.speedup_lo,
    speedup_hi = row.speedup_hi, runtime_us = row.runtime_us, ref_us = row.ref_us, feedback = row.feedback, cached = false,
  }
end

return foreign
