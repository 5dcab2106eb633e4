-- SPDX-License-Identifier: Apache-2.0
-- rng.lua: the corpus's own random stream (SplitMix64), so that names, styles, constants and draws depend on one seed and on
-- nothing of the machine or of the Lua build. A stream is made from a seed and a label; two labels never share draws, hence
-- adding an operation to one family leaves the instances of every other family as they were.

local Rng = {}
Rng.__index = Rng

local function mix(z)
  z = (z ~ (z >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  return z ~ (z >> 31)
end

---@param seed integer
---@param label string
function Rng.new(seed, label)
  local h = mix(seed + 0x9e3779b97f4a7c15)
  for i = 1, #label do h = mix(h ~ label:byte(i)) + 0x9e3779b97f4a7c15 end
  return setmetatable({ state = h }, Rng)
end

---Uniform in [0, 1) with 53 bits.
function Rng:unit()
  self.state = self.state + 0x9e3779b97f4a7c15
  return (mix(self.state) >> 11) * 0x1p-53
end

---Uniform integer in lo..hi.
function Rng:int(lo, hi) return lo + math.floor(self:unit() * (hi - lo + 1)) end

function Rng:pick(list) return list[self:int(1, #list)] end

function Rng:chance(p) return self:unit() < p end

---Fisher-Yates in place; returns the list.
function Rng:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:int(1, i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

return Rng
