-- SPDX-License-Identifier: Apache-2.0
--
-- The code of answers on its way through Lua: what a policy's sample calls its code is what core.extract finds and what
-- the evaluator judges, with one key, wherever it stands in the answer; its log-probability is that of its own tokens.
local core = require "vegttt.core"
local small = require "support_tasks"
local speaker = require "vegttt.speaker"
local support = require "support"

local body = "  for (int i = 0; i < n; i++) y[i] = x[i];"
local copy = (body:gsub("%f[%w]i%f[%W]", "k")) -- a piece of its own: what follows a piece is the model's choice
local answers = {
  { pieces = { "It is short:\n\n```c\n", body, "\n```\nThat is all." }, p = 0.3 },
  { pieces = { "<think>\n```c\ny[0] = 9;\n```\n</think>\n\n", body .. "\n}" }, p = 0.3 },
  { pieces = { "```c\n", "  y[0] = 1;\n  y[1] =" }, p = 0.2 },
  { pieces = { copy, "\n  }\n}\n" }, p = 0.2 },
}

describe("core.extract", function()
  it("gives the code, where it stands and whether it is the whole function", function()
    local text = "Here:\n```c\nvoid same(float *y) {\n    y[0] = 1;\n}\n```\n"
    local code, from, to, is_whole = core.extract(text, "same")
    expect.equal(code, "void same(float *y) {\n    y[0] = 1;\n}")
    expect.equal(text:sub(from + 1, to), code)
    expect.equal(is_whole, true)
    expect.same({ core.extract("    y[0] = 1;\r\n}\r\n", "same") }, { "    y[0] = 1;", 0, 13, false })
    expect.same({ core.extract("no", "same") }, { nil, "The answer contains no code." })
    expect.same({ core.extract "    y[0] =" }, { nil, "The answer contains no code." })
    expect.equal(select(2, core.extract "    y[0] = 1;\n    y[1] ="), "The answer ends before its code does.")
  end)
end)

describe("a sample's code", function()
  it("is the same by every road, and its log-probability is its tokens'", function()
    local dir = support.folder() .. "/prose"
    speaker.make(dir, answers)
    support.inside(function(_, _, vt)
      local task = vt.task(small.same)
      local group = vt.policy(dir):start():sample(task:prompt(), { n = 32, temperature = 1.0 })
      local seen, keys = {}, {}
      vt.eval.all(group)
      for _, s in ipairs(group) do
        local answer = core.policy_decode(s.weights.model.handle, s.tokens)
        local code, from, to = core.extract(answer, task.name)
        expect.equal(s.code, code)
        if not s.code then
          seen.cut = true
          expect.equal(s.result.status, "malformed")
          expect.equal(s.logprob_code, s.logprob)
        else
          expect.equal(answer:sub(from + 1, to), code)
          expect.truthy(s.result.correct, s.result.status)
          keys[s.code] = s.result.key
          expect.equal(vt.eval.one(task, code).key, s.result.key)
          expect.equal(s.result.code_sha, s.code_sha)
          if from == 0 then
            seen.too_many = true
            expect.equal(code, copy .. "\n  }")
          else
            seen[from] = true
            expect.equal(code, body)
            -- The second token holds the body, and the first one does not.
            expect.near(s.logprob_code, s.logprobs[2], 1e-9)
            expect.truthy(s.logprobs[1] < -1, "what stands before it is left out")
          end
        end
      end
      expect.truthy(seen.cut and seen.too_many and seen[#answers[1].pieces[1]] and seen[#answers[2].pieces[1]],
        "every kind was drawn")
      expect.truthy(keys[body] ~= keys[copy .. "\n  }"], "other code has another key")
    end)
  end)
end)

describe("core.exit_code", function()
  it("is the engine's table", function()
    for kind, codes in pairs { usage = { 2, 2 }, script = { 1, 2 }, misuse = { 1, 2 }, budget = { 3, 3 },
      infrastructure = { 4, 4 }, cancelled = { 130, 130 }, other = { 4, 4 } } do
      expect.equal(core.exit_code(kind, true), codes[1])
      expect.equal(core.exit_code(kind), codes[2])
    end
  end)
end)
