-- SPDX-License-Identifier: Apache-2.0
-- names.lua: the names and the layout style of one instance. Arrays, sizes, scalars, loop variables, locals and the function get
-- names from pools, all distinct, none a C word or a function the bodies call; half of the instances look as a plain C file
-- formatted by a tool does (two or four spaces, `i++`, spaces inside brackets), the others vary.

local Style = require "corpus.style"

local Names = {}

local INPUT = { "x", "a", "in", "src", "data", "u", "v", "input", "p", "q", "g", "X", "A", "b", "h", "values", "f" }
local SECOND = { "b", "w", "z", "t", "other", "B", "y", "r", "target", "weight", "ref", "rhs", "scale", "e" }
local OUTPUT = { "y", "out", "dst", "c", "res", "o", "r", "z", "output", "C", "result", "Y" }
local SIZE = { m = { "m", "rows", "M", "h", "batch", "n0", "nr" }, n = { "n", "cols", "len", "N", "d", "dim", "n1", "nc", "count" }, k = { "k", "K", "depth", "inner", "kk" },
  b = { "b", "batch", "nb", "B" }, c = { "c", "channels", "C", "nch", "outer" }, h = { "h", "height", "H" }, w = { "w", "width", "W" }, d = { "d", "dim", "D" }, l = { "l", "rows", "vocab", "L" } }
local LOOP = { i = { "i", "i", "i", "r", "row", "ii" }, j = { "j", "j", "j", "c", "col", "jj" }, l = { "l", "k", "ch", "q" }, p = { "p", "k", "kk", "l" }, q = { "q", "l", "kx" }, b = { "b", "n", "bi" }, z = { "z", "b", "hd" } }
local LOCAL = { s = { "s", "sum", "acc", "total" }, v = { "v", "xi", "val", "a" }, g = { "g", "u", "tmp", "f" }, top = { "mx", "max", "top", "best", "hi" }, e = { "e", "ex" }, t = { "t", "z" },
  p0 = { "p", "row", "xr", "px", "src0" }, q0 = { "q", "dst0", "yr", "o", "py" }, acc = { "acc", "buf", "part" } }

-- The idioms' own locals keep familiar names, so that the idiom reads the same in most operations.
local IDIOM = { tt = { "t", "t", "t", "z" }, ke = { "k", "k", "k", "ki" }, fr = { "r", "r", "r", "f" }, eu = { "u", "u", "u", "un" }, iv = { "i", "i", "n" }, fv = { "f", "f", "x" }, lu = { "w", "w", "un" }, kx = { "q", "q", "ex" }, dm = { "z", "z", "d" }, dq = { "h", "h", "zz" }, wd = { "w", "w", "w", "len" } }
for word, pool in pairs(IDIOM) do LOCAL[word] = pool end

local RESERVED = { expf = true }
for word in pairs(Style.keywords) do RESERVED[word] = word ~= "max" or nil end
for word in ("INFINITY powf i64 f u b y0 y1 j0 j1 yn jn tanh gamma index signal main"):gmatch("%S+") do
  if #word > 1 then RESERVED[word] = true end
end

local function choose(r, pool, used)
  for _ = 1, 12 do
    local name = r:pick(pool)
    if not used[name] and not RESERVED[name] then return name end
  end
  for k = 0, 99 do
    local name = pool[1] .. k
    if not used[name] then return name end
  end
end

local function words_of(bodies)
  local present = {}
  for _, body in ipairs(bodies) do
    for word in pairs(Style.identifiers(body)) do present[word] = true end
  end
  return present
end

local function words_of_signature(parts)
  local signature = {}
  for _, list in ipairs { parts.arrays, parts.scalars, parts.sizes } do
    for _, item in ipairs(list) do signature[item.name] = true end
  end
  return signature
end

-- Names for the locals among `present` into map; `plain` prefers the canonical ones.
local function draw_locals(r, map, used, present, signature, own, plain)
  local rest = {}
  for word in pairs(present) do
    if not signature[word] and (own[word] or LOOP[word] or LOCAL[word]) then rest[#rest + 1] = word end
  end
  table.sort(rest)
  for _, word in ipairs(rest) do
    local is_kept = not used[word] and not IDIOM[word] and (plain or r:chance(0.35))
    map[word] = is_kept and word or choose(r, own[word] or LOOP[word] or LOCAL[word], used)
    used[map[word]] = true
  end
end

-- Identifiers that no pool renames keep their text and block it.
local function fixed_words(present, signature, own)
  local used = {}
  for word in pairs(present) do
    if not signature[word] and not own[word] and not LOOP[word] and not LOCAL[word] then used[word] = true end
  end
  return used
end

---Names for every identifier of the bodies: { old = new }; a quarter keeps the canonical ones.
---@param parts table Define.parse
---@param bodies string[]
---@param own? table  pools of the operation's own words, before the general ones
function Names.draw(r, parts, bodies, own)
  own = own or {}
  local present, signature = words_of(bodies), words_of_signature(parts)
  local map, used = {}, fixed_words(present, signature, own)
  local function take(old, new) map[old] = new; used[new] = true end
  local plain = r:chance(0.25)
  if plain then
    for word in pairs(signature) do used[word] = true end
  end
  local n_in = 0
  for _, a in ipairs(parts.arrays) do
    if a.role == "in" then n_in = n_in + 1 end
    local pool = a.role == "out" and OUTPUT or (n_in == 1 and INPUT or SECOND)
    if a.dtype ~= "f32" and a.role == "in" then pool = { "t", "idx", "label", "labels", "target", "sel", "ids" } end
    take(a.name, plain and a.name or choose(r, own[a.name] or pool, used))
  end
  for _, s in ipairs(parts.sizes) do take(s.name, plain and s.name or choose(r, own[s.name] or SIZE[s.name] or { s.name }, used)) end
  for _, s in ipairs(parts.scalars) do take(s.name, plain and s.name or choose(r, s.name == "eps" and { "eps", "e", "epsilon", "eps" } or { "s", "alpha", "beta", "scale", "t", "k", "lr", "coef" }, used)) end
  draw_locals(r, map, used, present, signature, own, plain)
  return map
end

---The same map with other names for the locals.
function Names.redraw(r, map, parts, bodies, own)
  own = own or {}
  local present, signature = words_of(bodies), words_of_signature(parts)
  local out, used = {}, fixed_words(present, signature, own)
  for word in pairs(signature) do
    out[word] = map[word]
    used[map[word]] = true
  end
  draw_locals(r, out, used, present, signature, own, false)
  return out
end

---A layout style.
function Names.style(r, map)
  if r:chance(0.5) then
    return { indent = r:chance(0.7) and 2 or 4, braces = r:pick { "always", "single", "nested", "nested" }, pre_increment = false, tight_index = false, casts = r:chance(0.5), names = map }
  end
  return { indent = r:chance(0.5) and 4 or 2, braces = r:pick { "always", "single", "nested" }, casts = r:chance(0.5), pre_increment = r:chance(0.5), tight_index = r:chance(0.5), names = map }
end

local GENERIC = { "kernel", "compute", "apply", "op", "run", "process", "transform", "func" }
---The function's name: mostly what the operation is called, sometimes nothing telling.
function Names.fname(r, id)
  if r:chance(0.25) then return r:pick(GENERIC) end
  local base = id:gsub("^rows_", "row_"):gsub("^columns_", "col_")
  if RESERVED[base] or r:chance(0.2) then base = base .. "_" .. r:pick { "f32", "op", "fwd", "rows", "naive" } end
  return base
end

return Names
