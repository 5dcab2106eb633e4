-- SPDX-License-Identifier: Apache-2.0
-- forms.lua: one rewriting, many programs. A policy that has seen one text per trick answers a prompt with a handful of texts, and
-- then there is nothing to find among its samples. So every time an answer is shown, what a programmer would decide by trying is
-- drawn anew: whether and how far an innermost loop is unrolled, how many lanes a simd loop is asked for, the size of a block;
-- and the names of locals. None of it changes what is computed (a sum in lanes was in lanes before), all of it but the
-- names changes how fast. Layout follows the prompt.
--
-- Labels (measured.lua) are those of the form as written; a form drawn here is as right as that.

local Style = require "corpus.style"

local Forms = {}

local UNROLL, LANES, BLOCK = { "2", "4", "8" }, { "8", "16", "32" }, { "32", "64", "128", "256" }

local function has_loop(node)
  if node.kind == "for" or node.kind == "while" then return true end
  if node.kind == "block" then
    for _, inner in ipairs(node.list) do
      if has_loop(inner) then return true end
    end
  end
  return node.body and has_loop(node.body) or node.otherwise and has_loop(node.otherwise) or false
end

-- A copy of a list of statements with its pragmas drawn.
local vary_list

local function vary_node(node, r)
  local out = {}
  for k, v in pairs(node) do out[k] = v end
  if node.list then out.list = vary_list(node.list, r) end
  if node.body then
    local list = vary_list({ node.body }, r)
    out.body = #list == 1 and list[1] or { kind = "block", list = list }
  end
  if node.otherwise then out.otherwise = vary_node(node.otherwise, r) end
  return out
end

function vary_list(list, r)
  local out = {}
  for i, node in ipairs(list) do
    local after_pragma = i > 1 and list[i - 1].kind == "pragma"
    if node.kind == "pragma" and node.text:find("^#pragma omp simd") and not node.text:find("simdlen", 1, true) and r:chance(0.5) then
      out[#out + 1] = { kind = "pragma", text = ("%s simdlen(%s)"):format(node.text, r:pick(LANES)) }
    else
      if node.kind == "for" and not after_pragma and not has_loop(node.body) and r:chance(0.4) then
        out[#out + 1] = { kind = "pragma", text = "#pragma GCC unroll " .. r:pick(UNROLL) }
      end
      out[#out + 1] = vary_node(node, r)
    end
  end
  return out
end

-- Where a body works in blocks of 64, 64 means nothing but their size.
local function vary_block(text, r)
  if not text:find("+= 64", 1, true) then return text end
  return (text:gsub("%f[%w_]64%f[^%w_]", r:pick(BLOCK)))
end

---A body in canonical style as a list of statements, of which nothing is fixed but what it computes.
---@param text string
---@param r table  Rng
function Forms.draw(text, r) return vary_list(Style.parse(vary_block(text, r)), r) end

return Forms
