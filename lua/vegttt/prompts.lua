-- SPDX-License-Identifier: Apache-2.0
--
-- Prompts: the chat turns that show a task, and the prefix with which the answer begins.
--
-- The default format is the one that the default adapter was trained on: a system sentence, one instruction with the
-- baseline in a fence, and an answer that starts with the fence and the function's signature, so that the model
-- writes the body and a closing brace. The two sentences come from the model record when the prompt is rendered.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local shots = require "vegttt.shots"

local prompts = {}

local Prompt, Context = {}, {}
local prompt_class = closed.class("vt.Prompt", "a prompt", { "task", "system", "template", "reasoning", "sections",
  "prefix", "shots" }, Prompt)
local context_class = closed.class("vt.Context", "a context", { "prompt", "sections" }, Context)

local default_system = "You write fast C code."
local torch_system = "You write fast PyTorch code."
local torch_instruction = "Write the body of ModelNew.forward, which is to run faster than Model's and give the same result."
local default_instruction = "Rewrite this C function so that it runs faster and gives the same result."

---The source that the model sees; with another body than the baseline's when one is given.
function prompts.source(task, body) return core.prompt(task.handle, body, task.tier) end

function prompts.new(task, o)
  local n_shots = o.shots or 0
  if n_shots < 0 or n_shots > #shots.all then
    errors.misuse("task:prompt", "task:prompt: shots must be 0 to %d, the worked examples there are, not %d", #shots.all,
      n_shots)
  end
  if o.template and not o.template:find("{source}", 1, true) then
    errors.misuse("task:prompt", "task:prompt: the template has no {source}, where the function is to stand")
  end
  return setmetatable({ task = task, system = o.system, template = o.template, reasoning = o.reasoning, sections = {},
    shots = n_shots > 0 and n_shots or nil, prefix = task.tier == "torch" and "```python\n" or ("```c\n%s {\n"):format(task.signature) }, prompt_class)
end

local function question(self, record, source)
  if self.template then return (self.template:gsub("{source}", function() return source end)) end
  if self.task.tier == "torch" then return ("%s\n```python\n%s\n```"):format(torch_instruction, source) end
  return ("%s\n```c\n%s\n```"):format(record.instruction or default_instruction, source)
end

---The chat turns, with the record's sentences where the script gave none; worked examples are turns of their own.
function Prompt:messages(record)
  local out = { { role = "system", content = self.system
    or self.task.tier == "torch" and torch_system or record.system or default_system } }
  for i = 1, self.shots or 0 do
    local shot = shots.all[i]
    out[#out + 1] = { role = "user", content = question(self, record, shots.source(shot, shot.slow)) }
    out[#out + 1] = { role = "assistant", content = ("```c\n%s\n```"):format(shots.source(shot, shot.fast)) }
  end
  local parts = { question(self, record, prompts.source(self.task)) }
  for _, s in ipairs(self.sections) do parts[#parts + 1] = s end
  out[#out + 1] = { role = "user", content = table.concat(parts, "\n\n") }
  return out
end

function prompts.is(p) return getmetatable(p) == prompt_class end

local kept = { "system", "template", "reasoning", "sections", "shots" }

---What a prompt is made of beside its task, as plain data, with the prefix that the answer was begun with.
function prompts.parts(p, prefix)
  local out = { prefix = prefix or p.prefix }
  for _, k in ipairs(kept) do out[k] = p[k] end
  out.sections = core.array(table.move(p.sections, 1, #p.sections, 1, {}))
  return out
end

---The prompt of these parts.
function prompts.of(task, parts)
  local p = { task = task, prefix = parts.prefix }
  for _, k in ipairs(kept) do p[k] = parts[k] end
  p.sections = p.sections or {}
  return setmetatable(p, prompt_class)
end

---vt.context(prompt): the same question with more to read before the answer.
function prompts.context(p)
  if not prompts.is(p) then
    errors.misuse("vt.context", "vt.context needs a prompt (task:prompt()), not a %s", type(p))
  end
  return setmetatable({ prompt = p, sections = table.move(p.sections, 1, #p.sections, 1, {}) }, context_class)
end

function Context:add(title, text)
  self.sections[#self.sections + 1] = ("%s\n%s"):format(title, text)
  return self
end

function Context:ask(text)
  local p = {}
  for k, v in pairs(self.prompt) do p[k] = v end
  p.sections = table.move(self.sections, 1, #self.sections, 1, {})
  p.sections[#p.sections + 1] = text
  return setmetatable(p, prompt_class)
end

return prompts
