-- SPDX-License-Identifier: Apache-2.0
--
-- Advantages that train what Best-of-N measures: the expected maximum of k samples (Walder and Karkhanis 2025). With n
-- samples of a task and rewards in ascending order, the share of sample i in the unbiased estimate of max@k is
--
--   s_i = C(n,k)^-1 [ C(i-1,k-1) r_i + sum_{j>i} C(j-2,k-2) r_j ],
--
-- the mean over the subsets of size k of their maximum, counted where i is a member. From each the maximum of the same
-- subset without i is taken, which does not depend on i and so adds no bias: what is left is how much i raises the best
-- of a random k that it belongs to: n / k times the difference of the two sums. The mean of the others takes that place for
-- k = 1, where the subset without i is empty, so k = 1 is leave-one-out. Weights are formed one ratio at a time.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

-- Expected maximum over the k-subsets that hold the i-th of ascending values: those whose best it is, and the others.
local function with_member(r, i, k)
  local n = #r
  if k == 1 then return r[i] end
  -- Of the n-1 others k-1 are drawn. P(all below i) = C(i-1, k-1) / C(n-1, k-1).
  local below = 1
  for t = 0, k - 2 do below = below * math.max(i - 1 - t, 0) / (n - 1 - t) end
  local sum = below * r[i]
  local weight = (k - 1) / (n - 1) -- P(the largest of the others is the n-th); the j-th: C(j-2, k-2) / C(n-1, k-1)
  for j = n, math.max(i + 1, k), -1 do
    sum = sum + weight * r[j]
    if j > 2 then weight = weight * (j - k) / (j - 2) end
  end
  return sum
end

---The advantages of rewards in any order: for the i-th, E[max of k with it] - E[max of the k - 1 others].
return function(rewards, k)
  local n = #rewards
  if k > n then
    errors.misuse("vt.advantage.max_at_k", "vt.advantage.max_at_k: k = %d, but a group has %d samples", k, n)
  end
  local order, sorted, out = {}, {}, {}
  for i = 1, n do order[i] = i end
  table.sort(order, function(a, b)
    if rewards[a] == rewards[b] then return a < b end
    return rewards[a] < rewards[b]
  end)
  for i, at in ipairs(order) do sorted[i] = rewards[at] end
  if sorted[1] == sorted[n] then -- exactly so, not but for the last bit of two sums
    for i = 1, n do out[i] = 0 end
    return out
  end
  for i, at in ipairs(order) do
    local others = table.move(sorted, i + 1, n, i, table.move(sorted, 1, i - 1, 1, {}))
    out[at] = n == 1 and 0 or with_member(sorted, i, k) - core.stats.best_of_k(others, math.max(k - 1, 1))
  end
  return out
end
