-- SPDX-License-Identifier: Apache-2.0
--
-- The tiny golden models (tests/golden/tiny) through the surface: log-probabilities of base and adapter as transformers
-- and PEFT compute them. Their folders hold no tokenizer; tokens are given as ids, and one for 90 ids is put beside them.
local core = require "vegttt.core"
local support = require "support"

local source = "tests/golden/tiny/"

local function control(id, content)
  return { id = id, content = content, special = true, lstrip = false, rstrip = false, single_word = false,
    normalized = false }
end

-- A copy of the model's folder with a tokenizer: ids 2… are the printable characters.
local function with_tokenizer(name, root)
  local dir = root .. "/" .. name
  core.mkdir(dir)
  for _, file in ipairs(core.list(source .. name)) do
    if not core.is_dir(source .. name .. "/" .. file) then core.write(dir .. "/" .. file, core.read(source .. name .. "/" .. file)) end
  end
  local vocab = { ["<s>"] = 0, ["</s>"] = 1 }
  for id = 2, 89 do vocab[string.char(31 + id)] = id end
  core.write(dir .. "/tokenizer.json", core.json_encode {
    added_tokens = { control(0, "<s>"), control(1, "</s>") },
    model = { type = "BPE", vocab = vocab, merges = core.array {} },
    pre_tokenizer = { type = "ByteLevel", add_prefix_space = false, use_regex = true } })
  return dir
end

-- The engine's full-speed numbers against fp64: near each, and nearer on average.
local function compare(policy, golden, key)
  local n, sum = 0, 0
  for _, q in ipairs(golden.sequences) do
    local got = policy:start():score(q.prompt, q.completion)
    for t, want in ipairs(q[key]) do
      expect.near(got[t], want, 0.3)
      n, sum = n + 1, sum + math.abs(got[t] - want)
    end
  end
  expect.truthy(sum / n < 0.06, ("mean difference, %g, under 0.06"):format(sum / n))
end

describe("golden models", function()
  for _, name in ipairs { "llama", "qwen2", "qwen3" } do
    it(name .. " scores as transformers does, and under its adapter as PEFT does", function()
      support.in_folder(function(root)
        local dir = with_tokenizer(name, root)
        local golden = core.json_decode(core.read(source .. name .. "/golden.json"), "golden.json")
        support.run(support.main(function(_, _, vt)
          compare(vt.policy(dir), golden, "logp")
          compare(vt.policy(dir .. "+" .. source .. name .. "/adapter"), golden, "logp_lora")
        end, { params = {} }), {}, { root = root .. "/runs" })
      end)
    end)
  end

  it("update by the weights that they are given", function()
    support.in_folder(function(root)
      local dir = with_tokenizer("llama", root)
      local golden = core.json_decode(core.read(source .. "llama/golden.json"), "golden.json")
      support.run(support.main(function(_, _, vt)
        local policy = vt.policy(dir .. "+" .. source .. "llama/adapter")
        local group = {}
        for i, q in ipairs(golden.sequences) do
          group[i] = { tokens = q.completion, prompt_ids = q.prompt, advantage = q.w, task = false }
        end
        local u = policy:update(vt.batch { group }, { lr = 0, loss = "cross_entropy" })
        expect.near(u.loss, golden.loss, 0.01 * math.abs(golden.loss))
        local own = policy:branch(policy:start()):update(vt.batch { group },
          { lr = 0, loss = function(seq) return seq.advantage end })
        expect.near(own.loss, u.loss, 1e-6)
        expect.near(own.grad_norm, u.grad_norm, 1e-6)
      end, { params = {} }), {}, { root = root .. "/runs" })
    end)
  end)
end)
