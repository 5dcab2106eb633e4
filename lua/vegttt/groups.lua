-- SPDX-License-Identifier: Apache-2.0
--
-- What functions of the surface are given where they ask for samples: a group, a list of groups, lists of those, or a
-- flat list of samples. Groups need not be the engine's own: a script may build them.
local errors = require "vegttt.errors"

local groups = {}

function groups.is_sample(x)
  return type(x) == "table" and (rawget(x, "tokens") ~= nil or rawget(x, "result") ~= nil)
end

---A group or a list of groups as a list of groups.
function groups.list(op, g)
  if type(g) ~= "table" then errors.misuse(op, "%s needs groups of samples, not a %s", op, type(g)) end
  return groups.is_sample(g[1]) and { g } or g
end

---All samples, in order.
function groups.samples(op, g)
  if type(g) ~= "table" then errors.misuse(op, "%s needs a group of samples, not a %s", op, type(g)) end
  local out = {}
  local function collect(t)
    for _, s in ipairs(t) do
      if groups.is_sample(s) then
        out[#out + 1] = s
      elseif type(s) == "table" then
        collect(s)
      else
        errors.misuse(op, "%s needs groups of samples; it met a %s", op, type(s))
      end
    end
  end
  collect(g)
  return out
end

return groups
