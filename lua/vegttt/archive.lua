-- SPDX-License-Identifier: Apache-2.0
--
-- An archive of what was found for one task, and which of it to go on from: PUCT as TTT-Discover ships it
-- (test-time-training/discover, recipes/ttt/sampler.py, with its group size of 1).
--
--   score(i) = Q(i) + c * range * P(i) * sqrt(1 + T) / (1 + n(i))
--
-- Q: the best value of i's children, i's own before it has any. P: the share of i's rank, best first, in 1 + 2 + … + N.
-- n: how often i or one of its descendants was gone on from; T: how often anything was. range: best less worst value of
-- what was found (the root aside), at least 1e-6. Of several picks at a time none is an ancestor or descendant of another.
local closed = require "vegttt.closed"
local errors = require "vegttt.errors"

local Archive, archive = {}, {}
local class = closed.class("vt.Archive", "an archive", { "nodes", "c", "keep", "n_picked", "by_key" }, Archive)
local Node = closed.record_class("a node of an archive", { "value", "what", "parent", "n", "best_child", "number" })

---vt.archive{ c = 1, keep = 2 }: keep: the most children of one pick that enter.
function archive.new(o)
  o = errors.options("vt.archive", o, { c = "number", keep = "integer" })
  local root = setmetatable({ value = 0, n = 0, number = 1 }, Node)
  return setmetatable({ nodes = { root }, c = o.c or 1, keep = o.keep or 2, n_picked = 0, by_key = {} }, class)
end

local function is_above(a, b)
  while b do
    if a == b then return true end
    b = b.parent
  end
  return false
end

-- node -> rank share.
local function priors(nodes)
  local order, share = table.move(nodes, 1, #nodes, 1, {}), {}
  table.sort(order, function(a, b)
    if a.value ~= b.value then return a.value > b.value end
    return a.number < b.number
  end)
  local n = #nodes
  for i, node in ipairs(order) do share[node] = (n + 1 - i) / (n * (n + 1) / 2) end
  return share
end

local function range_of(nodes)
  local lo, hi = math.huge, -math.huge
  for i = #nodes > 1 and 2 or 1, #nodes do lo, hi = math.min(lo, nodes[i].value), math.max(hi, nodes[i].value) end
  return math.max(hi - lo, 1e-6)
end

---The scores of all nodes, in their order.
function Archive:scores()
  local share, range, out = priors(self.nodes), range_of(self.nodes), {}
  for i, node in ipairs(self.nodes) do
    out[i] = (node.best_child or node.value)
      + self.c * range * share[node] * math.sqrt(1 + self.n_picked) / (1 + node.n)
  end
  return out
end

---Up to k nodes to go on from; fewer where all others are related to them.
function Archive:pick(k)
  local scores, order, picked = self:scores(), {}, {}
  for i in ipairs(self.nodes) do order[i] = i end
  table.sort(order, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] > scores[b] end
    if self.nodes[a].value ~= self.nodes[b].value then return self.nodes[a].value > self.nodes[b].value end
    return a < b
  end)
  for _, i in ipairs(order) do
    local node, is_free = self.nodes[i], true
    for _, p in ipairs(picked) do is_free = is_free and not is_above(p, node) and not is_above(node, p) end
    if is_free and #picked < k then picked[#picked + 1] = node end
  end
  return picked
end

---What came of going on from a node: { value, key, what } each. New keys enter, the best `keep` of them.
function Archive:add(parent, found)
  self.n_picked = self.n_picked + 1
  local above = parent
  while above do
    above.n, above = above.n + 1, above.parent
  end
  local sorted = table.move(found, 1, #found, 1, {})
  for i, f in ipairs(sorted) do
    parent.best_child = math.max(parent.best_child or f.value, f.value)
    sorted[i] = { f = f, i = i }
  end
  table.sort(sorted, function(a, b)
    if a.f.value ~= b.f.value then return a.f.value > b.f.value end
    return a.i < b.i
  end)
  local n_kept = 0
  for _, x in ipairs(sorted) do
    if n_kept < self.keep and not self.by_key[x.f.key] then
      local node = setmetatable({ value = x.f.value, what = x.f.what, parent = parent, n = 0,
        number = #self.nodes + 1 }, Node)
      self.nodes[#self.nodes + 1], self.by_key[x.f.key], n_kept = node, true, n_kept + 1
    end
  end
end

return archive
