-- SPDX-License-Identifier: Apache-2.0
-- random.lua: operations nobody named: a random expression of one or two elements, applied element by element or summed along rows.
-- They keep the policy from recognising operations by their formula: what carries over is how a loop is rewritten, not what it
-- computes. A drawn expression is refused when it is one of the excluded functions (the numeric test of the suite checks it).

local I = require "corpus.idiom"
local fill = I.fill
local defs = {}

-- Leaves and nodes as { slow, fast } pairs of text in a and b; fast avoids calls that stop vectorisation.
local function leaf(r, two)
  local v = (two and r:chance(0.5)) and "b" or "a"
  return { v, v }
end
local CONST = { "0.5f", "1.5f", "2.0f", "0.25f", "3.0f", "0.1f", "0.75f", "1.25f" }
local NODES = {
  function(r, p, q) return { "(" .. p[1] .. " + " .. q[1] .. ")", "(" .. p[2] .. " + " .. q[2] .. ")" } end,
  function(r, p, q) return { "(" .. p[1] .. " - " .. q[1] .. ")", "(" .. p[2] .. " - " .. q[2] .. ")" } end,
  function(r, p, q) return { p[1] .. " * " .. q[1], p[2] .. " * " .. q[2] } end,
  function(r, p) local c = r:pick(CONST); return { "(" .. p[1] .. " + " .. c .. ")", "(" .. p[2] .. " + " .. c .. ")" } end,
  function(r, p) local c = r:pick(CONST); return { c .. " * " .. p[1], c .. " * " .. p[2] } end,
  function(r, p) return { r:chance(0.5) and "fmaxf(" .. p[1] .. ", -" .. p[1] .. ")" or "fabsf(" .. p[1] .. ")", "fabsf(" .. p[2] .. ")" } end,
}
local function unary(r, p)
  local k = r:int(1, 7)
  if k == 1 then return { "fmaxf(" .. p[1] .. ", $c)", "(g > $c ? g : $c)", p[2] }
  elseif k == 2 then return { "fminf(" .. p[1] .. ", $c)", "(g < $c ? g : $c)", p[2] }
  elseif k == 3 then return { "fminf(fmaxf(" .. p[1] .. ", -$c), $c)", "(g < -$c ? -$c : (g > $c ? $c : g))", p[2] }
  elseif k == 4 then return { "powf(" .. p[1] .. ", 2.0f)", "g * g", p[2] }
  elseif k == 5 then return { "powf(fabsf(" .. p[1] .. "), 0.5f)", "sqrtf(fabsf(g))", p[2] }
  elseif k == 6 then return { "powf(" .. p[1] .. ", 3.0f)", "g * g * g", p[2] }
  else return { "1.0f / (1.0f + powf(" .. p[1] .. ", 2.0f))", "1.0f / (1.0f + g * g)", p[2] } end
end
local function tree(r, depth, two)
  if depth == 0 then return leaf(r, two) end
  local n = r:int(1, #NODES)
  return NODES[n](r, tree(r, depth - 1, two), tree(r, n <= 3 and depth - 1 or 0, two))
end
-- { slow text, fast text, pre = the statement that defines g }
local function expression(r, two)
  local inner = tree(r, r:int(1, 2), two)
  local u = unary(r, inner)
  local c = { c = r:pick(CONST) }
  local tail = r:pick { " + a", " - 0.5f * a", " * a", two and " + b" or " + 2.0f", two and " * b" or " - a" }
  return { fill(u[1], c) .. tail, fill(u[2], c) .. tail, pre = "float g = " .. u[3] .. ";" }
end
local function place(t, a, b) return (t:gsub("%f[%w_]a%f[^%w_]", a):gsub("%f[%w_]b%f[^%w_]", b)) end

defs[#defs + 1] = { id = "random_map", family = "random_map", weight = 60, make = function(r)
  local two = r:chance(0.4)
  local e = expression(r, two)
  local flat = r:chance(0.5)
  local x, z, y = "x[i]", "z[i]", "y[i]"
  if not flat then x, z, y = "x[i * n + j]", "z[i * n + j]", "y[i * n + j]" end
  local loop = flat and "for (int i = 0; i < n; i++) { $b }" or r:pick { "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }", "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { $b } }" }
  local rows = flat and loop or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
  local decl = two and "float a = $x; float b = $z; " or "float a = $x; "
  local function quick(px, pz, py) return fill(decl, { x = px, z = pz }) .. e.pre .. " " .. py .. " = " .. e[2] .. ";" end
  local strong = { fill(rows, { b = quick(x, z, y) }) }
  if not flat then strong[2] = fill("for (int i = 0; i < m * n; i++) { $b }", { b = quick("x[i]", "z[i]", "y[i]") }) end
  local base = r:chance(0.6) and (y .. " = " .. place(e[1], x, z) .. ";") or (fill(decl, { x = x, z = z }) .. y .. " = " .. e[1] .. ";")
  local shape = flat and "[n]" or "[m,n]"
  return { sig = "x" .. shape .. (two and ", z" .. shape or "") .. " -> y" .. shape, sizes = flat and r:pick { "n=40000", "n=65536" } or r:pick { "m=128,n=400", "m=200,n=256" }, body = fill(loop, { b = base }), mild = {}, strong = strong }
end }

defs[#defs + 1] = { id = "random_rows", family = "random_reduction", weight = 40, make = function(r)
  local two = r:chance(0.5)
  local e = expression(r, two)
  local vector = two and r:chance(0.5)
  local zt = vector and "z[j]" or "z[i * n + j]"
  local last = r:pick { "s", "s / n", "1.0f + s", "0.5f * s", "s * s" }
  local decl = two and "float a = $x; float b = $z; " or "float a = $x; "
  local function quick(px, pz) return fill(decl, { x = px, z = pz }) .. e.pre .. " s += " .. e[2] .. ";" end
  local env = { t = place(e[1], "x[i * n + j]", zt), q = quick("x[i * n + j]", zt), p = quick("p0[j]", vector and "z[j]" or "q0[j]"), last = last, zp = (two and not vector) and "const float *q0 = z + i * n;" or "" }
  return { sig = "x[m,n]" .. (two and (vector and ", z[n]" or ", z[m,n]") or "") .. " -> y[m]", sizes = r:pick { "m=64,n=800", "m=100,n=500", "m=32,n=1500" },
    body = fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t; } y[i] = $last; }", env),
    mild = { fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { $q } y[i] = $last; }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { $q } y[i] = $last; }", env), fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; $zp float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { $p } y[i] = $last; }", env) } }
end }

defs[#defs + 1] = { id = "random_scalar", family = "random_loss", weight = 30, make = function(r)
  local e = expression(r, true)
  local last = r:pick { "s / (m * n)", "s / m", "s" }
  local function quick(px, pz) return fill("float a = $x; float b = $z; ", { x = px, z = pz }) .. e.pre .. " s += " .. e[2] .. ";" end
  local env = { t = place(e[1], "x[i * n + j]", "t[i * n + j]"), q = quick("x[i]", "t[i]"), q2 = quick("p0[j]", "q0[j]"), last = last }
  return { sig = "x[m,n], t[m,n] -> z[1]", sizes = r:pick { "m=100,n=400", "m=64,n=700" },
    body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { s += $t; } } z[0] = $last;", env), mild = {},
    strong = { fill("float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int i = 0; i < m * n; i++) { $q } z[0] = $last;", env),
      fill("float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; const float *q0 = t + i * n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { $q2 } } z[0] = $last;", env) } }
end }
-- A clamp of something that is neither x nor an affine function of x alone, in every spelling of min and max.
defs[#defs + 1] = { id = "random_clamp", family = "random_map", weight = 60, make = function(r)
  local e = r:pick { "X * X - 1.0f", "X + Z", "X - Z", "X * Z", "0.5f * X + Z", "X * fabsf(X)", "2.0f * X - Z", "(X + Z) / 3.0f", "X * X * X", "(X - Z) / 2.0f", "X * X / 4.0f", "X / (1.0f + Z * Z)", "(X * X + 1.0f) / 6.0f", "(X + 3.0f) / 6.0f * X" }
  local lo, hi = r:pick { "-1.0f", "0.0f", "-0.5f", "-2.0f", "0.25f" }, r:pick { "1.0f", "2.0f", "0.5f", "3.0f", "6.0f" }
  local last = r:pick { "", "", "", " * 2.0f", " + X", " - 0.5f" }
  local two = e:find("Z") ~= nil
  local low_first = r:chance(0.5) -- which bound is inside
  local flat = r:chance(0.75)
  local x, z, y = "x[i]", "z[i]", "y[i]"
  if not flat then x, z, y = "x[i * n + j]", "z[i * n + j]", "y[i * n + j]" end
  local function at(t) return (t:gsub("X", x):gsub("Z", z)) end
  local function call(f, a, b) return r:chance(0.5) and f .. "(" .. a .. ", " .. b .. ")" or f .. "(" .. b .. ", " .. a .. ")" end
  local slow = low_first and call("fminf", call("fmaxf", e, lo), hi) or call("fmaxf", call("fminf", e, hi), lo)
  local steps = low_first and "v = v > LO ? v : LO; Y = (v < HI ? v : HI)LAST;" or "v = v < HI ? v : HI; Y = (v > LO ? v : LO)LAST;"
  if last == "" then steps = steps:gsub("%((v [<>] %u+ %? v : %u+)%)", "%1") end
  steps = "float v = " .. e .. "; " .. steps:gsub("LO", lo):gsub("HI", hi):gsub("LAST", last):gsub("Y", y)
  local base
  if r:chance(0.7) then base = y .. " = " .. at(slow .. last) .. ";"
  else base = low_first and at("float v = " .. e .. "; if (v < LO) { v = LO; } if (v > HI) { v = HI; } YY = vLAST;") or at("float v = " .. e .. "; if (v > HI) { v = HI; } if (v < LO) { v = LO; } YY = vLAST;") base = base:gsub("LO", lo):gsub("HI", hi):gsub("LAST", (at(last):gsub("%%", "%%%%"))):gsub("YY", y) end
  local loop = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
  local shape = flat and "[n]" or "[m,n]"
  return { sig = "x" .. shape .. (two and ", z" .. shape or "") .. " -> y" .. shape, sizes = flat and r:pick { "n=40000", "n=65536" } or "m=128,n=400", body = fill(loop, { b = base }), mild = {}, strong = { fill(loop, { b = at(steps) }) } }
end }
-- Ratios whose denominator has an absolute value, spelled as a maximum or as a branch.
defs[#defs + 1] = { id = "random_ratio", family = "random_map", weight = 30, make = function(r)
  local num = r:pick { "X * X", "X + Z", "X - Z", "Z", "2.0f * X + 1.0f", "X * Z", "1.0f", "X * X - 1.0f", "0.5f * X + Z" }
  local inner = r:pick { "X", "X", "Z", "X - Z" }
  if num == "1.0f" or num == "2.0f * X + 1.0f" then inner = "X" end
  local c = r:pick { "1.0f", "1.0f", "2.0f", "0.5f" }
  if num == "Z" and c == "1.0f" then c = "2.0f" end -- the token stream of x / (1 + |x|)
  local two = (num .. inner):find("Z") ~= nil
  local flat = r:chance(0.75)
  local x, z, y = "x[i]", "z[i]", "y[i]"
  if not flat then x, z, y = "x[i * n + j]", "z[i * n + j]", "y[i * n + j]" end
  local function at(t) return (t:gsub("X", x):gsub("Z", z)) end
  local neg = inner == "X - Z" and "-(X - Z)" or "-" .. inner
  local slow = ("(NUM) / (C + fmaxf(IN, NEG))"):gsub("NUM", num):gsub("C", c):gsub("IN", inner):gsub("NEG", neg):gsub("^%((%w+)%)", "%1")
  local quick = ("(NUM) / (C + fabsf(IN))"):gsub("NUM", num):gsub("C", c):gsub("IN", inner):gsub("^%((%w+)%)", "%1")
  local loop = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
  local shape = flat and "[n]" or "[m,n]"
  return { sig = "x" .. shape .. (two and ", z" .. shape or "") .. " -> y" .. shape, sizes = flat and r:pick { "n=40000", "n=65536" } or "m=128,n=400", body = fill(loop, { b = y .. " = " .. at(slow) .. ";" }), mild = {}, strong = { fill(loop, { b = y .. " = " .. at(quick) .. ";" }) } }
end }
-- Clamps that end with the clamp, of two arrays' sum, difference or product between constants, or of one array between others.
-- POS marks arrays whose values must be positive: a bound used with both signs.
local PAIR_CLAMPS = {
  { e = "(X + Z + 3.0f) / 6.0f" }, { e = "(X - Z) / 4.0f + 0.5f" }, { e = "(X + Z) / 6.0f + 0.5f" }, { e = "X - Z" }, { e = "Z - X" }, { e = "X + 2.0f * Z" }, { e = "(X * Z + 1.0f) / 2.0f" }, { e = "X * Z" },
  { e = "X", lo = "-Z", hi = "Z", pos = true }, { e = "X", lo = "-Z", hi = "Z", pos = true }, { e = "X", lo = "Z", hi = "Z + 1.0f" }, { e = "X", lo = "Z - 0.5f", hi = "2.0f" }, { e = "X", lo = "-1.0f", hi = "Z + 1.0f" },
}
defs[#defs + 1] = { id = "pair_clamp", family = "random_map", weight = 40, make = function(r)
  local c = r:pick(PAIR_CLAMPS)
  local k = { lo = c.lo or r:pick { "-1.0f", "0.0f", "0.0f", "-2.0f", "-0.5f" }, hi = c.hi or r:pick { "1.0f", "1.0f", "2.0f", "0.75f" } }
  local low_first, flat = r:chance(0.5), r:chance(0.75)
  local at = flat and "[i]" or "[i * n + j]"
  local function set(t) return (fill(t, k):gsub("%f[%w]X%f[%W]", "x" .. at):gsub("%f[%w]Z%f[%W]", "z" .. at):gsub("%f[%w]Y%f[%W]", "y" .. at)) end
  local function call(f, a, b) return r:chance(0.5) and f .. "(" .. a .. ", " .. b .. ")" or f .. "(" .. b .. ", " .. a .. ")" end
  local nested = low_first and call("fminf", call("fmaxf", c.e, "$lo"), "$hi") or call("fmaxf", call("fminf", c.e, "$hi"), "$lo")
  local low, high = "if (v < $lo) { v = $lo; } ", "if (v > $hi) { v = $hi; } "
  local base = r:chance(0.7) and "Y = " .. nested .. ";" or "float v = " .. c.e .. "; " .. (low_first and low .. high or high .. low) .. "Y = v;"
  local select = "float v = " .. c.e .. "; " .. (low_first and "v = v > $lo ? v : $lo; Y = v < $hi ? v : $hi;" or "v = v < $hi ? v : $hi; Y = v > $lo ? v : $lo;")
  local loop = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
  local shape = flat and "[n]" or "[m,n]"
  return { sig = "x" .. shape .. ", z" .. shape .. " -> y" .. shape, sizes = flat and r:pick { "n=40000", "n=65536" } or "m=128,n=400", dist = c.pos and { z = { "positive" } } or nil,
    body = fill(loop, { b = set(base) }), mild = {}, strong = { fill(loop, { b = set(select) }) } }
end }
-- log(1 + exp) of what two arrays make, with and without the guard against overflow.
defs[#defs + 1] = { id = "pair_log_exp", family = "random_map", weight = 25, make = function(r)
  local k = { e = r:pick { "X - Z", "X + Z", "X * Z", "0.5f * X + Z", "Z - 2.0f * X", "X * Z - 1.0f" }, c = r:pick { "20.0f", "20.0f", "15.0f", "30.0f" } }
  local flat = r:chance(0.75)
  local at = flat and "[i]" or "[i * n + j]"
  local function set(t) return (fill(t, k):gsub("%f[%w]X%f[%W]", "x" .. at):gsub("%f[%w]Z%f[%W]", "z" .. at):gsub("%f[%w]Y%f[%W]", "y" .. at)) end
  local base = r:pick { "float v = $e; if (v > $c) { Y = v; } else { Y = log1pf(expf(v)); }", "if ($e > $c) { Y = $e; } else { Y = log1pf(expf($e)); }",
    "float v = $e; Y = v > $c ? v : logf(1.0f + expf(v));", "Y = log1pf(expf($e));" }
  local quick = "float v = $e;\n" .. I.exp("v", "e", true) .. I.log("1.0f + e", "g") .. "Y = v > $c ? v : g;"
  local loop = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
  local shape = flat and "[n]" or "[m,n]"
  return { sig = "x" .. shape .. ", z" .. shape .. " -> y" .. shape, sizes = flat and r:pick { "n=40000", "n=50000" } or "m=100,n=400", tol = true, body = fill(loop, { b = set(base) }), mild = {}, strong = { fill(loop, { b = set(quick) }) } }
end }
return defs
