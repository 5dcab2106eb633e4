-- SPDX-License-Identifier: Apache-2.0
--
-- Random streams for scripts: a cursor over Philox, keyed by the run seed and a label. Two labels never share draws.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local Rng, rng = {}, {}
local class = closed.class("vt.Rng", "a random stream", { "key", "at" }, Rng)

function rng.new(seed, label) return setmetatable({ key = core.seed(seed, "rng/" .. label), at = 0 }, class) end

---In [0, 1).
function Rng:uniform()
  self.at = self.at + 1
  return core.uniform(self.key, self.at)
end

---A whole number in lo..hi, both included.
function Rng:int(lo, hi)
  errors.number("rng:int", "the lower end", lo, nil, nil, true)
  errors.number("rng:int", "the upper end", hi, nil, nil, true)
  if hi < lo then
    errors.misuse("rng:int", "rng:int: no whole number lies between %s and %s", tostring(lo), tostring(hi))
  end
  return lo + math.floor(self:uniform() * (hi - lo + 1))
end

function Rng:normal()
  local u, v = 1 - self:uniform(), self:uniform()
  return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
end

function Rng:pick(t) return t[self:int(1, #t)] end

---A shuffled copy.
function Rng:shuffle(t)
  local out = table.move(t, 1, #t, 1, {})
  for i = #out, 2, -1 do
    local j = self:int(1, i)
    out[i], out[j] = out[j], out[i]
  end
  return out
end

---A replacement for math.random over this stream.
function Rng:random(lo, hi)
  if not lo then return self:uniform() end
  if not hi then lo, hi = 1, lo end
  return self:int(lo, hi)
end

return rng
