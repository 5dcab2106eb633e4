-- SPDX-License-Identifier: Apache-2.0
--
-- Which kernel is reported as best, and at what speedup. The largest of many measurements is too large by its own luck,
-- and a kernel may have passed one set of inputs only. So the verdicts of a search choose the order in which kernels are
-- tried, and nothing more: each is judged again by a process that has not seen it, on new secret inputs, with the full
-- protocol, and the first that is faster for sure there is the best, at the speedup of that second verdict. Taking the
-- first that holds, not the fastest of those judged again, keeps the second measurement out of the choice. Faster means
-- by more than 1 %: a copy of the baseline may seem to differ by that much.
local stats = require "vegttt.stats"

local best = {}
local max_tries = 3
best.max_tries = max_tries
local min_speedup = 1.01 -- the A/A error that the protocols keep below
best.min_speedup = min_speedup

local function is_better(a, b)
  if a.result.speedup_lo ~= b.result.speedup_lo then return a.result.speedup_lo > b.result.speedup_lo end
  return a.code_sha < b.code_sha
end

---Whether a verdict is of a kernel that is faster for sure.
function best.holds(verdict) return stats.is_sure(verdict, min_speedup) end

---The items { code_sha, result, … } worth a second verdict: faster for sure, one of each code, the largest lower end of
---the interval first.
function best.rank(items)
  local out, known = {}, {}
  for _, item in ipairs(items) do
    if item.result and best.holds(item.result) and not known[item.code_sha] then
      known[item.code_sha] = true
      out[#out + 1] = item
    end
  end
  table.sort(out, is_better)
  return out
end

---The first of the ranked items that holds when judged again, its second verdict, and how many were tried.
---judge(item) -> verdict.
function best.confirm(ranked, judge)
  local n = math.min(#ranked, max_tries)
  for i = 1, n do
    local again = judge(ranked[i])
    if best.holds(again) then return ranked[i], again, i end
  end
  return nil, nil, n
end

return best
