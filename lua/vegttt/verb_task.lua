-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt task`: the tasks there are, one of them in detail, whether one is sound, and a file to start from.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local task_check = require "vegttt.task_check"
local tasks = require "vegttt.tasks"
local text = require "vegttt.text"
local verb = require "vegttt.verb_common"

local task_verb = {}

local help = [[
vegttt task ls                          every task that comes with vegttt
vegttt task show ID|NAME|FILE.lua       sizes, inputs, costs and the prompt that a model sees
vegttt task show ID|NAME|FILE.lua --tier cuda   the CUDA kernels that stand for it on a GPU, with their launch plan
vegttt task check ID|NAME|FILE.lua      is it sound? exit code 0 yes, 1 no
vegttt task new NAME                    writes NAME.lua, a task of your own to edit]]

local scales = { "cpu", "hidden", "search", "full" }

-- ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function shape_text(a)
  return ("%s %s[%s]"):format(a.dtype, a.name, table.concat(a.shape, "]["):gsub("%.0", ""))
end

local function show_scale(task, scale)
  local l = core.task_layout(task.handle, scale)
  if not l then return end
  local inputs, outputs = {}, {}
  for _, a in ipairs(l.arrays) do
    table.insert((a.role == "out" or a.role == "state") and outputs or inputs, shape_text(a))
  end
  verb.say("  %-8s %s -> %s; at least %s and %.3g operations", scale, table.concat(inputs, ", "),
    table.concat(outputs, ", "),
    text.bytes(l.bytes), l.flops)
end

local function show(what, f)
  local task = verb.task(what)
  if f.tier and f.tier ~= core.eval_tiers()[1] then
    verb.say("%s", core.prompt(task.handle, nil, f.tier))
    return 0
  end
  local l = core.task_layout(task.handle, "cpu")
  verb.say("task %d %s, family %s, %s", task.id, task.name, task.family, task.digest:sub(1, 12))
  verb.say "\nsizes"
  for _, scale in ipairs(scales) do show_scale(task, scale) end
  verb.say "\ninputs are drawn from"
  for _, d in ipairs(l.dists) do verb.say("  %s", d) end
  local exact = {}
  for _, a in ipairs(l.arrays) do
    if (a.role == "out" or a.role == "state") and a.compare ~= "bound" then
      exact[#exact + 1] = ("%s %s"):format(a.name, a.compare)
    end
  end
  verb.say("\nbound: %g u sqrt(r)%s%s%s", l.k, l.rtol > 0 and (" + %g |v|"):format(l.rtol) or "",
    (l.atol > 0 and (" + %g max|v of the row|"):format(l.atol) or "")
      .. (task.family == "convolution" and ", at least 4 u sum(max|x around the window| |weights|)" or ""), #exact > 0 and "; " .. table.concat(exact, ", ")
      or "")
  local p, n = task:prompt(), task_check.prompt_tokens(task)
  verb.say("\nprompt, %s", n and ("%d tokens for the default model"):format(n)
    or "tokens uncounted: the default model is not here")
  for _, m in ipairs(p:messages {}) do verb.say("[%s]\n%s", m.role, m.content) end
  core.out(("[assistant]\n%s"):format(p.prefix))
  return 0
end

local function ls()
  local by_id = tasks.shipped(1)
  for _, id in ipairs(errors.keys(by_id)) do
    local t = tasks.get({ ids = { id } })[1]
    verb.say("%4d  %-34s %s", id, t.name, t.family)
  end
  return 0
end

-- ── check ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function check(what, f)
  local task = verb.task(what)
  verb.say("task %d %s", task.id, task.name)
  local findings = verb.wait(function() return task_check.run(task, { full = f.full }) end)
  verb.say("%s", task_check.text(findings))
  verb.say("%s", findings.sound and "sound" or "not sound: " .. task_check.failures(findings))
  return findings.sound and 0 or 1
end

-- ── new ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

local skeleton = [==[
-- A task: what a C function computes, on which sizes and inputs it is judged, and the plain text that a candidate must
-- beat. `vegttt task check NAME.lua` says whether it is sound; `vegttt eval --task NAME.lua FILE.c` judges a candidate.
return {
  id = ID, name = "NAME", level = 1, family = "rows", -- the name is the C function's; ids of your own begin at 10000
  title = "NAME",
  -- Positive integers. cpu: where candidates are timed; the baseline should take 0.03 to 2 ms and the arrays at most
  -- 1 MB together. hidden: a small, ragged shape on which candidates are only checked, so that they cannot rely on
  -- round numbers.
  sizes = {
    cpu = { n = 307, m = 293 },
    hidden = { n = 7, m = 53 },
  },
  size_order = { "n", "m" },
  -- The arguments, in order: arrays, then scalars, then sizes. role: in, weight, out or state (read and written);
  -- dtype: f32, i32, i64 or u8. dist: which inputs, the usual ones first; the others expose wrong answers that the
  -- usual ones hide (a constant row, one large element, values near zero).
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "needle", "tiny" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  -- What may differ: 0 and 0 for arithmetic (the bound then follows from float rounding alone); about 3e-5 and 1e-7
  -- when a fast exp or tanh is an honest answer.
  rtol = 0, atol = 0,
  -- What any correct answer must do at least: bytes read and written, arithmetic operations.
  bytes = "8 * n * m", flops = "3 * n * m",
  -- The baseline: plain C, what stands between the braces. The model sees it; its text is also the truth.
  body = [[
  for (int i = 0; i < n; i++) {
    float sum = 0.0f;
    for (int j = 0; j < m; j++)
      sum += x[i * m + j] * x[i * m + j];
    for (int j = 0; j < m; j++)
      y[i * m + j] = x[i * m + j] / sqrtf(sum / (float)m + 1e-6f);
  }]],
  -- A fast version you know of (optional): speedups are also given against it.
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *row = x + i * m;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < m; j++)
      sum += row[j] * row[j];
    float scale = 1.0f / sqrtf(sum / (float)m + 1e-6f);
    #pragma omp simd
    for (int j = 0; j < m; j++)
      y[i * m + j] = row[j] * scale;
  }]],
}
]==]

local function new(name)
  if not name:find "^[%a_][%w_]*$" or #name > 40 then
    errors.usage("'%s' cannot be a task's name: it is a C function's name of at most 40 letters, digits and _", name)
  end
  local file = name .. ".lua"
  if core.exists(file) then errors.usage("%s exists already; remove it or choose another name", file) end
  local id = 10000 + tonumber(core.sha256(name):sub(1, 6), 16) % 80000
  core.write(file, (skeleton:gsub("NAME", name):gsub("ID", tostring(id))))
  verb.say("%s written; next: vegttt task check %s", file, file)
  return 0
end

local function run(f, rest)
  local what, argument = rest[1], rest[2]
  local action = ({ ls = ls, show = show, check = check, new = new })[what]
  if not action then
    errors.usage("%s", what and ("task cannot '%s'; it can ls, show, check and new"):format(what)
      or "task needs ls, show, check or new; see `vegttt task --help`")
  end
  local surplus = rest[what == "ls" and 2 or 3]
  if surplus then errors.usage("task %s: '%s' is a word too many; see `vegttt task --help`", what, surplus) end
  if what ~= "ls" and not argument then
    errors.usage("task %s takes one %s", what, what == "new" and "name" or "task: an id, a name or a .lua file")
  end
  return action(argument, f)
end

function task_verb.main(argv)
  return verb.main(argv, { help = help, run = run, doing = function(_, rest) return "task " .. (rest[1] or "") end,
    options = { verb.with({ "tier", table.concat(core.eval_tiers(), "|"), "what it is shown for (default: c)",
      choices = core.eval_tiers() }, "task show"),
      verb.with({ "full", nil, "check with the full protocol, and anew" }, "task check"),
      verb.with(verb.unsafe_jail_option, "task check") } })
end

return task_verb
