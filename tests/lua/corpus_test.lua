-- SPDX-License-Identifier: Apache-2.0
-- The warm-start corpus: deterministic, well formed, and without any task of an evaluation half.
--
-- Two proofs of the last are here: the records (which tasks the splits hold out, which the corpus claims) and the tokens (no
-- baseline of the corpus has the token stream of a barred task's baseline or tuned body, names aside). The third, by
-- numbers, needs the evaluator: tests/lua/corpus_exclusion.lua.
package.path = "experiments/?.lua;experiments/?/init.lua;" .. package.path
local core = require "vegttt.core"
local Corpus = require "corpus"
local Excluded = require "corpus.excluded"
local Style = require "corpus.style"
local Rng = require "corpus.rng"

local SEEDS = { 42, 43, 44 }

local function held_out_ids()
  local ids = {}
  for _, seed in ipairs(SEEDS) do
    for _, id in ipairs(core.split_load(("splits/l1_seed%d.json"):format(seed)).problem_ids.eval) do ids[id] = true end
  end
  return ids
end

-- Every task whose meaning may not enter: held out, or the same operation as one that is.
local function barred_ids()
  local list = {}
  for id in pairs(Excluded.evaluation) do list[#list + 1] = id end
  for id in pairs(Excluded.same_as) do list[#list + 1] = id end
  table.sort(list)
  return list
end

local function task_tables()
  local by_id = {}
  for _, name in ipairs(core.embedded "tasks/l1/") do
    local t = load(core.embedded_text(name), "@" .. name, "t", {})()
    by_id[t.id] = t
  end
  return by_id
end

describe("corpus", function()
  it("is a pure function of its seed", function()
    local function digest(seed)
      local text = {}
      for _, x in ipairs(Corpus.build { seed = seed, per_weight = 0.3 }) do
        text[#text + 1] = x.signature
        for _, v in ipairs(x.variants) do text[#text + 1] = v.body end
      end
      return core.sha256(table.concat(text, "\n"))
    end
    expect.equal(digest(1), digest(1))
    expect.equal(digest(1) ~= digest(2), true)
  end)

  it("keeps the meaning under another appearance: same tokens but for names", function()
    for at, d in ipairs(Corpus.definitions()) do
      if at % 7 == 0 then
        local a, b = Corpus.instance(d, 1, 1), Corpus.instance(d, 1, 1, 2)
        expect.equal(#a.variants, #b.variants, d.id)
        expect.equal(#a.parts.arrays, #b.parts.arrays, d.id)
      end
    end
  end)

  -- A form without what forms.lua draws: unrolling, lanes, the size of a block.
  local function undrawn(text)
    text = text:gsub("#pragma GCC unroll %d+\n", ""):gsub(" simdlen%(%d+%)", "")
    if text:find("%+= %d%d+%) {\n") or text:find("%+= %d%d+%)\n") then
      local size = text:match("%+= (%d%d+)%)")
      text = text:gsub("%f[%w_]" .. size .. "%f[^%w_]", "64")
    end
    return text
  end
  -- A pragma asks for braces, and `max` may be a local's name.
  local function tokens(text) return (Style.fingerprint(text):gsub("[{}] ?", ""):gsub(" +$", ""):gsub("%f[%w]max%f[%W]", "@")) end
  local function n_words(text)
    local n = 0
    for _ in pairs(Style.identifiers((text:gsub("#pragma[^\n]*", "")))) do n = n + 1 end
    return n
  end

  it("draws forms that differ from the variant in pragmas, block size and names alone", function()
    local n_forms, n_texts = 0, 0
    for at, d in ipairs(Corpus.definitions()) do
      if at % 5 == 0 then
        local x = Corpus.instance(d, 1, 1)
        for i = 2, #x.variants do
          local seen, v = {}, x.variants[i]
          for k = 1, 6 do
            local form = v.form(Rng.new(k, v.key))
            expect.equal(form, v.form(Rng.new(k, v.key)), v.key)
            expect.equal(tokens(undrawn(form)), tokens(v.body), v.key .. "\n" .. form)
            expect.equal(n_words(form), n_words(v.body), v.key .. ": two things of one name\n" .. form)
            for line, next_line in form:gmatch "(#pragma[^\n]*)\n%s*([^\n]*)" do
              expect.equal(next_line:find("^for ") ~= nil, true, v.key .. ": " .. line .. " before " .. next_line)
            end
            if not seen[form] then seen[form], n_texts = true, n_texts + 1 end
            n_forms = n_forms + 1
          end
        end
      end
    end
    expect.equal(n_texts / n_forms > 0.5, true, ("%d texts of %d forms"):format(n_texts, n_forms))
  end)

  it("draws no size below the least that fits an operation, and groups that divide", function()
    local n_ranges, n_conditions = 0, 0
    for _, x in ipairs(Corpus.build { seed = 1, per_weight = 1 }) do
      for name, least in pairs(x.odd_sizes) do
        local range, cpu = x.document.range[name], x.document.sizes.cpu[name]
        expect.equal(range[1] == math.min(least, cpu) and range[2] >= cpu, true, x.op .. " " .. name)
        n_ranges = n_ranges + 1
      end
      for _, condition in ipairs(x.document.where or {}) do
        local name, by = condition:match "^([%w_]+) %% (%d+) == 0$"
        expect.equal(x.document.sizes.cpu[name] % tonumber(by), 0, x.op .. " " .. condition)
        n_conditions = n_conditions + 1
      end
    end
    expect.equal(n_ranges > 0 and n_conditions > 0, true)
  end)

  it("has arrays of positive length at an instance's own sizes and at its odd ones", function()
    local function lengths(x, sizes)
      for _, a in ipairs(x.document.arrays) do
        for _, dim in ipairs(a.shape) do
          local n = load("return " .. dim:gsub("/", "//"), dim, "t", sizes)()
          expect.equal(n > 0, true, ("%s %d: %s[%s] = %d"):format(x.op, x.number, a.name, dim, n))
        end
      end
    end
    for _, x in ipairs(Corpus.build { seed = 1, per_weight = 1 }) do
      local sizes = x.document.sizes.cpu
      lengths(x, sizes)
      lengths(x, setmetatable(x.odd_sizes, { __index = sizes }))
    end
  end)

  it("has families and operations enough", function()
    local families, n = {}, 0
    for _, d in ipairs(Corpus.definitions()) do
      families[d.family] = true
      n = n + 1
    end
    local n_families = 0
    for _ in pairs(families) do n_families = n_families + 1 end
    expect.equal(n_families >= 16, true, "families")
    expect.equal(n >= 130, true, "operations")
  end)
end)

describe("exclusion", function()
  it("lists exactly the evaluation halves of the three splits", function()
    local held = held_out_ids()
    for id in pairs(held) do expect.equal(Excluded.evaluation[id] ~= nil, true, "task " .. id) end
    for id in pairs(Excluded.evaluation) do expect.equal(held[id], true, "task " .. id) end
    for id, other in pairs(Excluded.same_as) do
      expect.equal(held[id], nil, "task " .. id)
      expect.equal(held[other], true, "task " .. other)
    end
  end)

  it("is kept by the records: every claimed task lies in all three training halves", function()
    local held = held_out_ids()
    for _, d in ipairs(Corpus.definitions()) do
      if d.l1 then expect.equal(held[d.l1], nil, d.id) end
    end
  end)

  it("is kept by the tokens", function()
    local tables, seen = task_tables(), {}
    for _, id in ipairs(barred_ids()) do
      local t = tables[id]
      if t then
        seen[Style.fingerprint(t.body)] = id
        if t.tuned then seen[Style.fingerprint(t.tuned)] = id end
      end
    end
    expect.equal(next(seen) ~= nil, true)
    for _, x in ipairs(Corpus.build { seed = 1, per_weight = os.getenv "VEGTTT_FULL" and 3 or 1 }) do
      expect.equal(seen[Style.fingerprint(x.variants[1].body)], nil, x.op .. " " .. x.number)
    end
  end)
end)
