-- SPDX-License-Identifier: Apache-2.0
--
-- The scalars of a run's rollouts, without their texts and tokens: what selection and statistics read of a hundred thousand
-- samples. A line of rollouts.jsonl is parsed once, when the index is made; what is left out is read from its line when
-- somebody asks (recorded.lua), so the memory of reading a run does not grow with the length of its answers.
--
-- rollouts.index lies beside the records of a run with many samples and holds the digests of the two files that it was made
-- of. Other digests, another version, or a file that is cut: the index is made anew. It is a cache, never a record, and a run
-- whose folder cannot be written is read without it. Samples stand in the order in which they are given (by place, task and
-- number), so that reading sorts nothing.
local core = require "vegttt.core"
local run_files = require "vegttt.run_files"

local index = {}

local version = "vegttt rollouts.index 4"
local least = 2000 -- samples from which on the index is kept: fewer are parsed faster than anybody notices

-- Of a sample: where its line begins, its group and its verdict (0: none); then what a line says, texts as places in a list.
local row = "<i8 I4 I4 i8 i8 i8 I4 I4 I4 I4 d d d d d d s1"
local none = 0 / 0 -- a number that is absent: JSON has no NaN

-- What of a verdict is read at once; the rest is in its line.
local of_verdict = { "key", "run", "task", "task_name", "task_digest", "level", "code_sha", "tier", "scale", "protocol", "evaluator",
  "machine", "compiler", "status", "correct", "is_copy", "flags", "speedup", "speedup_measured", "speedup_lo", "speedup_hi",
  "speedup_tuned", "runtime_us", "ref_us", "timed_in", "cached" }

-- ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- First verdicts by task and code: { fields of of_verdict, at = where the line begins }, numbered.
local function read_verdicts(dir)
  local list, by = {}, {}
  run_files.lines(dir, "evals.jsonl", function(line, at)
    if line.confirms then return end
    local v = { at = at }
    for _, name in ipairs(of_verdict) do v[name] = line[name] end
    local name = line.task .. "/" .. line.code_sha
    local n = by[name] or #list + 1
    list[n], by[name] = v, n
  end, true)
  return list, by
end

-- Samples without their heavy fields, by group; reward lines put theirs in.
local function read_samples(dir, verdict_of)
  local groups, by, by_key = {}, {}, {}
  run_files.lines(dir, "rollouts.jsonl", function(line, at)
    local known = by_key[line.key]
    if not line.tokens then
      if known then known.reward, known.advantage, known.dropped = line.reward, line.advantage, line.dropped end
      return
    end
    local name = ("%s/%s/%s/%s"):format(line.task, line.weights, line.draw, line.prompt_sha)
    local g = by[name]
    if not g then
      g = { task = line.task, weights = line.weights, draw = line.draw, prompt = line.prompt, prompt_sha = line.prompt_sha, step = line.step, place = line.place or line.step, seen = line.seen, samples = {} }
      groups[#groups + 1], by[name] = g, g
    end
    local s = { at = at, key = line.key, i = line.i, seed = core.parse_u64(line.seed), n_tokens = line.n_tokens, finish = line.finish,
      code_sha = line.code_sha, text_sha = not line.code_sha and line.text and core.sha256(line.text) or nil, logprob = line.logprob, logprob_mean = line.logprob_mean, logprob_code = line.logprob_code,
      temperature = line.temperature, seen = line.seen, verdict = line.code_sha and verdict_of[line.task .. "/" .. line.code_sha] }
    g.samples[#g.samples + 1], by_key[line.key] = s, s
  end, true)
  return groups
end

-- Lines stand in the order in which samples ended, which is another every time; here it is by place in the trajectory, task and number.
local function in_order(groups)
  local place = {}
  for i, g in ipairs(groups) do
    place[g] = i
    table.sort(g.samples, function(a, b) return a.i < b.i end)
    for _, s in ipairs(g.samples) do g.dropped = g.dropped or s.dropped end -- its advantages were left out of the batch
  end
  table.sort(groups, function(a, b)
    if a.place ~= b.place then return a.place < b.place end
    if a.task ~= b.task then return a.task < b.task end
    if a.draw ~= b.draw then return a.draw < b.draw end
    return place[a] < place[b]
  end)
  return groups
end

local function make(dir)
  local verdicts, verdict_of = read_verdicts(dir)
  local groups = in_order(read_samples(dir, verdict_of))
  local texts, place, rows = {}, {}, {}
  local function text(v)
    if v == nil then return 0 end
    if not place[v] then texts[#texts + 1], place[v] = v, #texts + 1 end
    return place[v]
  end
  for n, g in ipairs(groups) do
    for _, s in ipairs(g.samples) do
      rows[#rows + 1] = row:pack(s.at, n, s.verdict or 0, s.i, s.seed, s.n_tokens or -1, text(s.finish), text(s.code_sha), text(s.text_sha), text(s.seen),
        s.logprob or none, s.logprob_mean or none, s.logprob_code or none, s.temperature or none, s.reward or none,
        s.advantage or none, s.key)
    end
    g.samples = nil
  end
  return { groups = groups, verdicts = verdicts, texts = texts, n = #rows, rows = table.concat(rows) }
end

-- ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────

local function path_of(dir) return dir .. "/rollouts.index" end

-- What the index of a run must say of the files that it was made of.
local function made_of(dir)
  return ("%s %s %s"):format(version, core.file_digest(dir .. "/rollouts.jsonl") or "none", core.file_digest(dir .. "/evals.jsonl") or "none")
end

local function keep(dir, x, head)
  local list = {}
  for i, v in ipairs(x.verdicts) do list[i] = ("s4"):pack(core.json_encode(v)) end
  local about = core.json_encode { groups = core.array(x.groups), texts = core.array(x.texts) }
  pcall(core.write, path_of(dir), ("<s4 I8 I8 s8 s8 s8"):pack(head, x.n, #list, about, table.concat(list), x.rows))
end

local function load(dir, head)
  if not core.exists(path_of(dir)) then return nil end
  local ok, x = pcall(function()
    local file = core.read(path_of(dir))
    local is_of, n, n_verdicts, about, list, rows = ("<s4 I8 I8 s8 s8 s8"):unpack(file)
    if is_of ~= head then return nil end
    local out, at = core.json_decode(about, "an index"), 1
    out.n, out.rows, out.verdicts = n, rows, {}
    for i = 1, n_verdicts do
      local json
      json, at = ("s4"):unpack(list, at)
      out.verdicts[i] = core.json_decode(json, "an index")
    end
    return out
  end)
  return ok and x or nil
end

---{ groups, verdicts, texts, n, rows } of a run. groups and verdicts are tables of fields; rows is read with index.each.
function index.of(dir)
  local head = made_of(dir)
  local x = load(dir, head)
  if x then return x end
  x = make(dir)
  if x.n >= least and made_of(dir) == head then keep(dir, x, head) end
  return x
end

local function number(v) return v == v and v or nil end
local no_group = {}

---fn(group, verdict, line, fields) for every sample of the index: the numbers of its group and of its verdict (0: none), where its
---line begins, its fields. of_group: for each group what its samples have in common (task, prompt, recorded, place), which stands
---in the fields too: a table that is made with all of them need not grow.
function index.each(x, fn, of_group)
  local at, unpack, rows, texts = 1, row.unpack, x.rows, x.texts
  for _ = 1, x.n do
    local line, group, verdict, i, seed, n_tokens, finish, code, answer, seen, logprob, mean, of_code, temperature, reward, advantage, key
    line, group, verdict, i, seed, n_tokens, finish, code, answer, seen, logprob, mean, of_code, temperature, reward, advantage, key, at =
      unpack(row, rows, at)
    local of = of_group and of_group[group] or no_group
    fn(group, verdict, line, { at = line, task = of.task, prompt = of.prompt, recorded = of.recorded, place = of.place, result = nil, i = i, seed = seed, n_tokens = n_tokens >= 0 and n_tokens or nil, finish = texts[finish],
      code_sha = texts[code], text_sha = texts[answer], seen = texts[seen], logprob = number(logprob), logprob_mean = number(mean), logprob_code = number(of_code),
      temperature = number(temperature), reward = number(reward), advantage = number(advantage), key = key })
  end
end

---The line that begins at `at` in a file of a run; raises when another stands there: the file was changed since.
function index.line(dir, name, at, key)
  local path = ("%s/%s"):format(dir, name)
  local file <close> = assert(io.open(path, "r"))
  file:seek("set", at)
  local ok, line = pcall(core.json_decode, file:read "L" or "", path)
  if ok and line.key == key then return line end
  require("vegttt.errors").raise("infrastructure", "vt.rollouts", ("%s was changed while it was read; run this again"):format(path),
    { code = "EIO" })
end

return index
