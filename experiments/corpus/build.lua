-- SPDX-License-Identifier: Apache-2.0
-- build.lua: writes the corpus as JSONL: `lua5.4 experiments/corpus/build.lua [seed] [instances per weight] > corpus.jsonl`.
-- One instance a line: op, family, signature, task document, prompt, odd sizes, and its variants (key, kind, body). Run from the
-- repository's root. The same seed and scale give the same bytes.

package.path = "experiments/?.lua;experiments/?/init.lua;" .. package.path
local Corpus = require "corpus"
local Json = require "corpus.json"

local seed, scale = tonumber(arg[1] or 1), tonumber(arg[2] or 3)
for _, x in ipairs(Corpus.build { seed = seed, per_weight = scale }) do
  local variants = {}
  for i, v in ipairs(x.variants) do variants[i] = { key = v.key, kind = v.kind, body = v.body } end
  io.write(Json.encode {
    op = x.op, family = x.family, number = x.number, l1 = x.l1 or 0, name = x.name, signature = x.signature, document = x.document,
    prompt = Corpus.prompt(x.signature, x.variants[1].body), odd = x.def.odd or {}, odd_sizes = x.odd_sizes, variants = variants,
  }, "\n")
end
