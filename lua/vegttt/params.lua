-- SPDX-License-Identifier: Apache-2.0
--
-- Parameters: declared in the experiment, typed by their default, set from the command line, recorded with their
-- origin. Main gets them as a closed record: a misspelt name raises.
--
-- A declaration is { default, help, choices =, min =, above =, max =, list =, type =, extend = }. The type is the
-- default's (integer, number, string, boolean) unless `type` says it; "model" is a string that must name a model. A nil
-- default means "from the model record". `list` splits "a,b,c". `extend` marks what may grow (k, steps): a run
-- that differs only there is of one family with this one, and each pays only for the difference.
--
-- An option that would do nothing is refused and not passed over: `without = "from"` says that a parameter does not go
-- with a given --from, `needs = "from"` that it is only read beside one.
--
-- What many scripts share is declared here once, with the limits that the engine itself keeps (core.limits). A script
-- that names a shared parameter again changes what it gives and keeps the rest, `extend` excepted; `name = false` takes
-- one away that the script would not read.
local advantage = require "vegttt.advantage"
local args = require "vegttt.args"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local policy = require "vegttt.policy"
local presets = require "vegttt.presets"
local reward = require "vegttt.reward"

local params = {}

local fields = { choices = "table", min = "number", above = "number", max = "number", list = "boolean",
  type = { "integer", "number", "string", "boolean", "model" }, extend = "boolean", without = "string", needs = "string", [1] = "any", [2] = "string" }

---Options of every experiment: what may not be a parameter's name.
params.flags = {
  { "help", nil, "this text" },
  { "dry-run", nil, "refuse what a run would refuse before it costs anything, else print the plan, and stop; nothing is kept" },
  { "run", "NAME", "name of the run directory instead of a stamp" },
  { "fresh", nil, "a new run even if one with these parameters exists" },
  { "replicate", "N", "an independent repetition: enters every seed", kind = "integer", min = 0 },
  { "json", nil, "launch and done records on standard output, all else on standard error" },
  { "max-rollouts", "N", "stop when so many samples were charged, as if the method ran alone", kind = "integer", min = 0 },
  { "max-drawn", "N", "stop when so many samples were drawn here, those that other runs drew not counted", kind = "integer", min = 0 },
  { "max-spend", "USD", "stop before so many dollars are spent at services, by --prices", kind = "number", min = 0 },
  { "prices", "FILE", "prices of served models: {\"SPEC\": {\"prefill\", \"cached\", \"sampled\", \"trained\"}}, $ a million tokens" },
  { "max-wall", "S", "stop after so many seconds", kind = "number", min = 0 },
  { "max-memory", "BYTES", "most memory the language model may use (suffix K, M or G)", kind = "bytes", min = 1 << 20 },
  { "chat", "FAMILY", "chat format of a model whose template is unknown (vegttt model info names them)" },
  { "trace-http", "FILE", "append every HTTP exchange with a served model to this file, keys masked" },
  { "reward-from", "RUN", "take verdicts from this recorded run where it has them: no clock, the same trajectory" },
  { "queue", "ADDRESS", "workers of this queue judge (redis://HOST[:PORT]/NAME; `vegttt worker --help`)" },
  { "unsafe-jail", nil, "evaluate below the jail floor; recorded" },
}

function params.kind(d)
  if d.type then return d.type end
  local v = d[1]
  if type(v) == "number" then return math.type(v) == "integer" and "integer" or "number" end
  return type(v) == "nil" and "string" or type(v)
end

-- ── declarations that scripts share ──────────────────────────────────────────────────────────────────────────────────

local function limited(name, d)
  for k, v in pairs(core.limits[name]) do d[k] = v end
  return d
end

local function sampling()
  return {
    model = { "default", "model spec: default, MODEL, MODEL+ADAPTER, a folder, a .gguf, hf:ORG/NAME, openai:URL#MODEL or tinker:MODEL?tokenizer=PATH", type = "model" },
    k = limited("n", { 32, "samples per task and step", extend = true }),
    temperature = limited("temperature", { nil, "sampling temperature", type = "number" }),
    max_tokens = limited("max_tokens", { nil, "longest answer, in tokens", type = "integer" }),
    top_p = limited("top_p", { 1.0, "nucleus sampling; 1 = off" }),
    top_k = limited("top_k", { 0, "sample among the k likeliest tokens; 0 = off" }),
    min_p = limited("min_p", { 0.0, "drop tokens below this share of the likeliest; 0 = off" }),
    stop = { nil, "stop strings", type = "string", list = true },
    seed = { 42, "run seed", min = 0 },
  }
end

local of_tasks = setmetatable({}, { __mode = "k" }) -- declarations whose values vt.tasks(p) takes

local function with_tasks()
  local shared = sampling()
  of_tasks[shared] = true
  shared.split = { "splits/l1_seed42.json", "problem split; empty = every task there is" }
  shared.subset = { "eval", "which half of the split", choices = { "train", "eval" } }
  shared.tasks = { "4,5,12,14,15", "problem ids or task files; empty = the whole subset", list = true }
  shared.eval = { "fast", "timing protocol", choices = { "fast", "full" } }
  shared.prompt = { "", "file whose text shows a task, {source} standing for the function; empty = as the model record says" }
  shared.system = { "", "system sentence; empty = as the model record says" }
  shared.reasoning = { "", "reasoning level of a model whose chat format has one (low, medium, high); empty = the model's own" }
  shared.max_tasks = { 0, "use only so many tasks, the first of them; 0 = all", min = 0 }
  shared.shots = { 0, "worked examples before the question", min = 0, max = 3 }
  shared.free_form = { false, "let the model begin its answer itself, not with the fence and the signature" }
  shared.preset = { "none", "values that a published text states, for parameters that are not given", choices = presets.names }
  return shared
end

-- What is added to an advantage that is there has a parameter of its own: --kl and --entropy.
local is_addition = { kl_to_start = true, entropy_bonus = true }

local function advantages()
  local out = {}
  for _, name in ipairs(errors.keys(advantage)) do
    if not is_addition[name] then out[#out + 1] = name end
  end
  return out
end

local function with_updates()
  local shared = with_tasks()
  shared.reward = { "default", "what a verdict is worth: a name of vt.reward", choices = errors.keys(reward) }
  shared.advantage = { "default", "what is learnt from rewards: a name of vt.advantage", choices = advantages() }
  shared.loss = { "importance_sampling", "loss of an update",
    choices = { "cispo", "clip_higher", "cross_entropy", "dro", "gspo", "importance_sampling", "ppo" } }
  shared.entropy = { 0.0, "entropy bonus: this times (mean of ln p, less the token's own) is added to each token's advantage", min = 0 }
  shared.kl = { 0.0, "pull towards --anchor: this times (mean distance, less the token's own) is added to each token's advantage", min = 0 }
  shared.anchor = { "start", "what --kl pulls to: the start weights, or a moving average of all weights so far", choices = { "start", "ema" } }
  shared.ema = { 0.05, "share of the newest weights in the moving average (SDPO as shipped: 0.05)", above = 0, max = 1 }
  shared.null = { "none", "control: frozen = no update, only new draws; shuffled = advantages dealt out anew within a task",
    choices = { "none", "frozen", "shuffled" } }
  shared.steps = { 5, "gradient steps", min = 0, extend = true }
  shared.lr = limited("lr", { nil, "learning rate", type = "number" })
  shared.patience = { 0, "stop after so many steps in a row without a new best; 0 = run every step", min = 0 }
  return shared
end

local function merge(op, shared, extra)
  if extra ~= nil and type(extra) ~= "table" then
    errors.misuse(op, "%s needs a table of parameters, not a %s", op, type(extra))
  end
  for name, d in pairs(extra or {}) do
    local known = shared[name]
    if d == false and not known then errors.misuse(op, "%s: there is no shared parameter '%s' to take away", op, tostring(name)) end
    if d == false then
      shared[name] = nil
    elseif known and type(d) == "table" then
      known.extend = nil
      for k, v in pairs(d) do known[k] = v end
    else
      shared[name] = d
    end
  end
  params.check(shared, op)
  return shared
end

---vt.params(extra): what every script that samples shares, and `extra`.
function params.common(extra) return merge("vt.params", sampling(), extra) end

---vt.task_params(extra): also which tasks, and how their answers are timed.
function params.of_tasks(extra) return merge("vt.task_params", with_tasks(), extra) end

---vt.adapt_params(extra): also how the weights are adapted.
function params.of_updates(extra) return merge("vt.adapt_params", with_updates(), extra) end

---vt.gather_params(extra): those of vt.task_params, and which recorded runs are read in place of a draw.
function params.of_records(extra)
  local shared = with_tasks()
  for name, d in pairs(shared) do
    if name ~= "seed" then d.without = "from" end -- how samples are drawn, where they are drawn here
  end
  shared.from = { "", "recorded runs to read, as a glob; empty = draw K samples here" }
  shared.step = { 0, "the step whose samples are read, where a run has several", min = 0, needs = "from" }
  shared.drawn = { "first", "which recorded draws are read: those that a method chose from (first), those after its choice (fresh), all",
    choices = { "first", "fresh", "all" }, needs = "from" }
  shared.k = limited("n", { 8, "samples per task, where they are drawn here", extend = true, without = "from" })
  return merge("vt.gather_params", shared, extra)
end

---Whether these are declarations of vt.task_params or vt.adapt_params.
function params.are_of_tasks(declared) return of_tasks[declared] or false end

-- ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────

local function option(name, d)
  local kind = params.kind(d)
  return { name, "VALUE", d[2], kind = kind == "model" and "string" or kind, min = d.min, above = d.above, max = d.max,
    choices = d.choices }
end

---The declarations as options of a command line, in order of their names; a list is one text there.
function params.options(declared)
  local out = {}
  for _, name in ipairs(errors.keys(declared)) do
    local d = declared[name]
    out[#out + 1] = d.list and { name, "VALUE", d[2] } or option(name, d)
  end
  return out
end

-- An item of a list: of the declared type, else a number where it looks like one.
local function item_value(name, d, item)
  local o = option(name, d)
  if not d.type and tonumber(item) then o.kind = math.tointeger(tonumber(item)) and "integer" or "number" end
  return args.value(args.declare { o }, name, item)
end

local function list_value(name, d, given)
  local list = {}
  if type(given) == "table" then
    for i, item in ipairs(given) do list[i] = item_value(name, d, item) end
    return list
  end
  for item in tostring(given):gmatch "[^,]+" do
    item = item:match "^%s*(.-)%s*$"
    if item ~= "" then list[#list + 1] = item_value(name, d, item) end
  end
  return list
end

local taken = {}
for _, flag in ipairs(params.flags) do taken[flag[1]] = true end

-- What a run is known by is written down as text: two that a file cannot tell apart would be one run.
local function need_text(name, given)
  for _, text in ipairs(type(given) == "table" and given or { given }) do
    if type(text) == "string" and core.utf8(text) ~= text then
      errors.usage("--%s is no text: it has bytes that are not UTF-8, or a NUL; write such bytes as an escape that the script reads", name)
    end
  end
end

local function plain_value(name, d, given)
  if given == nil then return nil end
  need_text(name, given)
  return d.list and list_value(name, d, given) or args.value(args.declare { option(name, d) }, name, given)
end

---The value of a parameter given as text or in its type, or of its default.
function params.value(name, d, given)
  if given == nil then return plain_value(name, d, d[1]) end
  local v = plain_value(name, d, given)
  if params.kind(d) == "model" then policy.check_spec(v) end
  local limit = core.limits[name]
  if limit and limit.above and limit.above == d.above and type(v) == "number" then -- what a request cannot hold
    local problem = core.limit_problem(name, v)
    if problem then errors.usage("--%s", problem) end
  end
  return v
end

---Checks the declarations themselves.
function params.check(declared, op)
  for name, d in pairs(declared) do
    if type(name) ~= "string" or not name:find("^[%a][%w_]*$") then
      errors.misuse(op, "%s: '%s' cannot be a parameter's name; use letters, digits and _", op, tostring(name))
    end
    if taken[(name:gsub("_", "-"))] then
      errors.misuse(op, "%s: '%s' cannot be a parameter's name: --%s means something for every script", op, name, name)
    end
    if type(d) ~= "table" then
      errors.misuse(op, "%s: parameter '%s' must be { default, help }, not a %s", op, name, type(d))
    end
    errors.options(op, d, fields)
    if type(d[1]) == "table" then
      errors.misuse(op, "%s: the default of '%s' is a table; write \"a,b,c\" with list = true", op, name)
    end
    local is_well, problem = pcall(plain_value, name, d, d[1])
    if not is_well then errors.misuse(op, "%s: the default of '%s' is none: %s", op, name, tostring(problem)) end
  end
end

local given_names = setmetatable({}, { __mode = "k" }) -- values -> the names that were given, by nobody's default or preset

---Whether a parameter was given, and is not what the script, a preset or the model says.
function params.is_given(values, name) return given_names[values] ~= nil and given_names[values][name] or false end

-- Refuses what was given and would not be read beside what else was, or was not, given.
local function check_company(declared, given)
  local function is_set(name)
    return given[name] ~= nil and declared[name] ~= nil and params.value(name, declared[name], given[name]) ~= declared[name][1]
  end
  for _, name in ipairs(errors.keys(given)) do
    local d = declared[name]
    if d.without and is_set(d.without) then
      errors.usage("--%s does not go with --%s: it would change nothing; leave one of the two out", name, d.without)
    end
    if d.needs and not is_set(d.needs) then errors.usage("--%s is only read beside --%s, which is not given", name, d.needs) end
  end
end

---values (a closed record) and origins of all declared parameters; given: name -> text or value.
function params.resolve(declared, given, origin)
  local values, origins, names = {}, {}, errors.keys(declared)
  for name in pairs(given) do
    if not declared[name] then
      errors.usage("there is no parameter '%s'%s", tostring(name), errors.hint(tostring(name), names))
    end
  end
  check_company(declared, given)
  local preset = declared.preset and given.preset and params.value("preset", declared.preset, given.preset) or "none"
  local stated = presets.values(preset, declared)
  for _, name in ipairs(names) do
    local d, from = declared[name], origin
    local text = given[name]
    if text == nil then text, from = stated[name], "preset " .. preset end
    values[name] = params.value(name, d, text)
    origins[name] = { value = values[name], type = params.kind(d), origin = text ~= nil and from
      or values[name] == nil and "model record" or "default" }
  end
  local p, set = closed.record("p", values, names), {}
  for name in pairs(given) do set[name] = true end
  given_names[p] = set
  return p, origins
end

local from_record = setmetatable({}, { __mode = "k" }) -- values -> the names that a model record filled

---A value that the model's record has for a parameter that was given none.
function params.take_from_record(values, name, v)
  from_record[values] = from_record[values] or {}
  from_record[values][name] = true
  rawset(values, name, v)
end

---The value that was given, or the declared default: nil where the model's record says it.
function params.given(values, name)
  if from_record[values] and from_record[values][name] then return nil end
  return closed.optional(values, name)
end

---The table that --help prints.
function params.help(declared)
  local lines, width = {}, 0
  for name in pairs(declared) do width = math.max(width, #name) end
  for _, name in ipairs(errors.keys(declared)) do
    local d = declared[name]
    local limits = args.limits(d)
    lines[#lines + 1] = ("  --%-" .. width .. "s  %-8s %s%s [%s]"):format(name, params.kind(d), d[2] or "",
      limits ~= "" and (" (%s)"):format(limits) or "", args.show(d[1]))
  end
  return table.concat(lines, "\n")
end

return params
