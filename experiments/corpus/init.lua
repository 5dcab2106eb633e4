-- SPDX-License-Identifier: Apache-2.0
-- init.lua: the corpus: operation definitions → instances. An instance is one draw of a definition (constants, form of the
-- baseline, sizes) under one draw of names and layout: a task document, the prompt's two parts, and its variants (the copy and
-- every rewriting), all in the same names. Everything follows from the seed; nothing here measures anything. Whether a variant
-- is right and how fast it is, is the evaluator's to say (sft.lua) and lands in a table keyed by `variant.key`.
--
-- Which operations may enter is excluded.lua's matter; a definition that claims a KernelBench task (`l1`) must claim one that
-- lies in the training half of all three level-1 splits.

local Rng = require "corpus.rng"
local Style = require "corpus.style"
local Define = require "corpus.define"
local Names = require "corpus.names"
local Forms = require "corpus.forms"
local Excluded = require "corpus.excluded"

local Corpus = {}

local FILES = { "maps", "reductions", "products", "norms", "scans", "losses", "arrays", "random", "windows" }

---All definitions, in file order; ids are unique.
function Corpus.definitions()
  local out, seen = {}, {}
  for _, file in ipairs(FILES) do
    for _, d in ipairs(require("corpus.families." .. file)) do
      assert(not seen[d.id], "operation defined twice: " .. d.id)
      seen[d.id] = true
      assert(not d.l1 or Excluded.is_training(d.l1), "not a training task: " .. d.id)
      out[#out + 1] = d
    end
  end
  return out
end

Corpus.system = "You write fast C code."
Corpus.request = "Rewrite this C function so that it runs faster and gives the same result."

---Text before the answer, up to and with the signature's `{` and line end.
function Corpus.prompt(signature, body)
  return "<|im_start|>system\n" .. Corpus.system .. "<|im_end|>\n<|im_start|>user\n" .. Corpus.request .. "\n```c\n" .. signature .. " {\n" .. body
    .. "\n}\n```<|im_end|>\n<|im_start|>assistant\n```c\n" .. signature .. " {\n"
end

---What the model is trained on: the body and the closing brace; the end token follows.
function Corpus.answer(body) return body .. "\n}" end

-- Divisions by a size may spell the conversion out; baseline and variants of an instance alike.
local function with_casts(text, parts)
  for _, size in ipairs(parts.sizes) do
    local n = size.name
    text = text:gsub("(%f[%w_][sazd][0-9]? /=? )" .. n .. "%f[^%w_]", "%1(float)" .. n)
  end
  return text:gsub("( / )(%([mbc] %* n%))", "%1(float)%2")
end

local function unique_bodies(def)
  local list, seen = {}, {}
  local function add(text, kind)
    local print = Style.fingerprint(text) .. "|" .. text:gsub("%s+", " ")
    if not seen[print] then
      seen[print] = true
      list[#list + 1] = { text = text, kind = kind }
    end
  end
  add(def.body, "copy")
  for _, text in ipairs(def.mild or {}) do add(text, "mild") end
  for _, text in ipairs(def.strong or {}) do add(text, "strong") end
  return list
end

---One instance of definition `d` by number.
---@param appearance? integer  which draw of names and layout; the operation, its constants and its keys stay the same
function Corpus.instance(d, seed, number, appearance)
  local r = Rng.new(seed, d.id .. "#" .. number)
  local def = d.make(r)
  local parts = Define.parse(def)
  local list = unique_bodies(def)
  local texts = {}
  for i, v in ipairs(list) do texts[i] = v.text end
  local rn = Rng.new(seed, d.id .. "#" .. number .. "#names" .. (appearance and appearance > 1 and appearance or ""))
  local map = Names.draw(rn, parts, texts, def.names)
  local style = Names.style(rn, map)
  if def.braces then style.braces = rn:pick(def.braces) end
  local fname = Names.fname(rn, d.id)
  local variants = {}
  for i, v in ipairs(list) do
    local text = style.casts and with_casts(v.text, parts) or v.text
    variants[i] = { key = ("%s#%d#%d"):format(d.id, number, i), kind = v.kind, body = Style.render(text, style) }
    ---The variant in a form of its own (forms.lua).
    variants[i].form = function(rng)
      local own = setmetatable({ names = Names.redraw(rng, map, parts, { text }, def.names) }, { __index = style })
      return Style.print(Forms.draw(text, rng), own)
    end
  end
  local odd = {}
  for name, value in pairs(def.odd or {}) do odd[map[name]] = value end
  return {
    odd_sizes = odd, op = d.id, family = d.family, number = number, l1 = d.l1, def = def, parts = parts,
    signature = Define.signature(parts, map, fname), name = fname,
    document = Define.document(def, parts, map, fname, d.l1 or 0, d.family, variants[1].body), variants = variants,
  }
end

---Instances of a definition at a scale.
function Corpus.count(d, per_weight) return math.max(1, math.floor((d.weight or 1) * per_weight + 0.5)) end

---@param o { seed: integer, per_weight: number }  instances per unit of a definition's weight
---@return table[] instances, in definition order
function Corpus.build(o)
  local out = {}
  for _, d in ipairs(Corpus.definitions()) do
    local n = Corpus.count(d, o.per_weight)
    local seen = {}
    for number = 1, n do
      local inst = Corpus.instance(d, o.seed, number)
      local text = inst.signature .. inst.document.body
      if not seen[text] then
        seen[text] = true
        out[#out + 1] = inst
      end
    end
  end
  return out
end

return Corpus
