-- SPDX-License-Identifier: Apache-2.0
-- reductions.lua: one number per row (last axis) or per column (middle axis) of an array. What there is to learn: gcc keeps a float
-- sum as one chain of additions, so four chains or `omp simd reduction` are several times faster; a reduction over the middle
-- axis wants its loops interchanged with the output, or a block of it, as accumulators; logarithms and exponentials vectorise
-- only as polynomials; fmaxf is a call.
--
-- A reduction is a term of the element v, how terms meet (sum or max or min), and what is done with the result s.
-- Plain mean, max and min over an axis belong to evaluation halves and are refused (`plain`).

local I = require "corpus.idiom"
local fill, subst = I.fill, I.subst

-- term: C of v; fast: the same after simplification; exp/log = true when the term needs a polynomial (pre, val)
local TERMS = {
  { id = "sum", t = "v" },
  { id = "square", t = "v * v", slow = "powf(v, 2.0f)" },
  { id = "abs", t = "fabsf(v)", slow = "fmaxf(v, -v)" },
  { id = "cube", t = "v * v * v", slow = "powf(v, 3.0f)" },
  { id = "fourth", t = "(v * v) * (v * v)", slow = "powf(v, 4.0f)" },
  { id = "pos", t = "(v > 0.0f ? v : 0.0f)", slow = "fmaxf(v, 0.0f)" },
  { id = "neg_square", t = "(v < 0.0f ? v * v : 0.0f)", slow = "fminf(v, 0.0f) * fminf(v, 0.0f)" },
  { id = "clip", t = "(v > 1.0f ? 1.0f : (v < -1.0f ? -1.0f : v))", slow = "fminf(fmaxf(v, -1.0f), 1.0f)" },
  { id = "sqrt_abs", t = "sqrtf(fabsf(v))", slow = "powf(fabsf(v), 0.5f)" },
  { id = "ratio", t = "v / (1.0f + fabsf(v))" },
  { id = "lorentz", t = "1.0f / (1.0f + v * v)" },
  { id = "count", t = "(v > 0.5f ? 1.0f : 0.0f)" },
  { id = "shift_square", t = "(v - 0.5f) * (v - 0.5f)", slow = "powf(v - 0.5f, 2.0f)" },
  { id = "smooth_abs", t = "sqrtf(v * v + 0.01f)" },
  { id = "exp", t = "expf(v)", tol = true, exp = "v", val = "e" },
  { id = "gauss", t = "expf(-v * v)", tol = true, exp = "-v * v", val = "e" },
  { id = "exp_gate", t = "v / (1.0f + expf(-v))", tol = true, exp = "-v", high = true, val = "v / (1.0f + e)" },
  { id = "log_square", t = "logf(1.0f + v * v)", tol = true, log = "1.0f + v * v", val = "g" },
  { id = "log_abs", t = "logf(0.1f + fabsf(v))", tol = true, log = "0.1f + fabsf(v)", val = "g" },
  { id = "v_log", t = "(0.1f + v * v) * logf(0.1f + v * v)", tol = true, log = "0.1f + v * v", val = "(0.1f + v * v) * g" },
}
local ENDS = {
  { id = "", t = "s" }, { id = "mean", t = "s / n" }, { id = "root", t = "sqrtf(s)", pos = true }, { id = "rms", t = "sqrtf(s / n)", pos = true },
  { id = "inverse", t = "1.0f / (1.0f + s * s)" }, { id = "scaled", t = "0.5f * s" }, { id = "squared", t = "s * s" }, { id = "affine", t = "2.0f * s - 1.0f" },
  { id = "relu", t = "(s > 0.0f ? s : 0.0f)", slow = "fmaxf(s, 0.0f)" }, { id = "log", t = "logf(1.0f + s)", pos = true, tol = true },
}
local POSITIVE = { square = true, abs = true, fourth = true, pos = true, neg_square = true, sqrt_abs = true, lorentz = true, count = true, shift_square = true, smooth_abs = true, exp = true, gauss = true, log_square = true }

-- Statements of the element and the term, for x being the text of the element.
local function naive(term, x, r) return "", subst(r:chance(0.6) and term.slow or term.t, x) end
local function quick(term, x)
  if term.exp then return "float v = " .. x .. ";\n" .. I.exp(term.exp, "e", term.high), term.val end
  if term.log then return "float v = " .. x .. ";\n" .. I.log(term.log, "g"), term.val end
  if select(2, term.t:gsub("%f[%w_]v%f[^%w_]", "")) > 1 then return "float v = " .. x .. ";", term.t end
  return "", subst(term.t, x)
end

local function rows(term, last, r)
  local pre0, t0 = naive(term, "x[i * n + j]", r)
  local pre1, t1 = quick(term, "x[i * n + j]")
  local pre2, t2 = quick(term, "p0[j]")
  local outer = "for (int i = 0; i < m; i++) { $a y[i] = $end; }"
  local ends = last.t
  local function whole(a) return fill(outer, { a = a, ["end"] = ends }) end
  local mild = { whole("const float *p0 = x + i * n;" .. I.sum_loop("n", "", subst(term.t, "p0[j]"))) }
  local strong = { whole(I.sum_loop("n", pre1, t1, true)), whole("const float *p0 = x + i * n;" .. I.sum_loop("n", pre2, t2, true)) }
  if not term.exp and not term.log then
    strong[#strong + 1] = whole("const float *p0 = x + i * n;" .. I.sum_four("n", function(j) return subst(term.t, "p0[" .. j .. "]") end))
  end
  local slow_end = last.slow or last.t
  local base = fill(outer, { a = I.sum_loop("n", pre0, t0), ["end"] = slow_end })
  if r:chance(0.2) then
    base = fill("for (int i = 0; i < m; i++) { y[i] = 0.0f; for (int j = 0; j < n; j++) { y[i] += $t; } y[i] = $end; }", { t = t0, ["end"] = subst((slow_end:gsub("%f[%w_]s%f[^%w_]", "v")), "y[i]") })
  end
  return { sig = "x[m,n] -> y[m]", sizes = r:pick { "m=64,n=1024", "m=128,n=500", "m=32,n=2048" }, body = base, mild = mild, strong = strong, tol = term.tol or last.tol }
end

-- Over the middle axis of [b, m, n]; `last` speaks of n as the length of the axis, here m.
local function columns(term, last, r)
  local ends = last.t:gsub("%f[%w_]n%f[^%w_]", "m")
  local slow_end = (last.slow or last.t):gsub("%f[%w_]n%f[^%w_]", "m")
  local flat = r:chance(0.35)
  local idx = flat and "x[i * n + j]" or "x[(b * m + i) * n + j]"
  local out = flat and "y[j]" or "y[b * n + j]"
  local wrap = flat and "$a" or "for (int b = 0; b < c; b++) { $a }"
  local _, t0 = naive(term, idx, r)
  local pre, t1 = quick(term, idx)
  local prep, tp = quick(term, "p0[j]")
  local env = { t0 = t0, t1 = t1, pre = pre, prep = prep, tp = tp, out = out, fin = ends, slow = slow_end, row = flat and "x + i * n" or "x + (b * m + i) * n", tm = subst(term.t, idx) }
  local fin_out = (ends == "s") and "" or fill("for (int j = 0; j < n; j++) { float s = $out; $out = $fin; }", env)
  local function whole(a) return fill(wrap, { a = a }) end
  local base = whole(fill("for (int j = 0; j < n; j++) { float s = 0.0f; for (int i = 0; i < m; i++) { s += $t0; } $out = $slow; }", env))
  local swap = whole(fill("for (int j = 0; j < n; j++) { $out = 0.0f; } for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $pre $out += $t1; } }", env) .. fin_out)
  local swap_rows = whole(fill("for (int j = 0; j < n; j++) { $out = 0.0f; } for (int i = 0; i < m; i++) { const float *p0 = $row; for (int j = 0; j < n; j++) { $prep $out += $tp; } }", env) .. fin_out)
  local block = whole(fill([[for (int j0 = 0; j0 < n; j0 += 64) {
    int wd = n - j0 < 64 ? n - j0 : 64;
    float acc[64] = {0.0f};
    for (int i = 0; i < m; i++) { const float *p0 = $row + j0; for (int j = 0; j < wd; j++) { $prep acc[j] += $tp; } }
    for (int j = 0; j < wd; j++) { float s = acc[j]; $o = $fin; } }]], { row = env.row, prep = prep, tp = tp, o = out:gsub("%f[%w]j%f[%W]", "j0 + j"), fin = ends }))
  return { sig = flat and "x[m,n] -> y[n]" or "x[c,m,n] -> y[c,n]", sizes = flat and r:pick { "m=256,n=256", "m=200,n=300" } or r:pick { "c=4,m=64,n=256", "c=8,m=96,n=128", "c=2,m=128,n=300" },
    body = base, mild = { whole(fill("for (int j = 0; j < n; j++) { float s = 0.0f; for (int i = 0; i < m; i++) { s += $tm; } $out = $fin; }", env)) },
    strong = { swap, swap_rows, block }, tol = term.tol or last.tol }
end

-- Extremes: max |v|, min v^2, range … ; select instead of fmaxf, simd reduction(max:).
local EXTREMES = {
  { id = "max_abs", start = "0.0f", t = "fabsf(v)", sign = ">" }, { id = "min_abs", start = "1e30f", t = "fabsf(v)", sign = "<" },
  { id = "max_square", start = "0.0f", t = "v * v", sign = ">" }, { id = "max_neg", start = "-1e30f", t = "-v", sign = ">" },
  { id = "min_square", start = "1e30f", t = "v * v", sign = "<" }, { id = "max_shift", start = "-1e30f", t = "0.5f * v + 1.0f", sign = ">" },
  { id = "min_gap", start = "1e30f", t = "fabsf(v - 1.0f)", sign = "<" }, { id = "max_hump", start = "-1e30f", t = "v - v * v", sign = ">" },
}
local function extreme(x, r)
  local f = x.sign == ">" and "fmaxf" or "fminf"
  local word = x.sign == ">" and "max" or "min"
  local base_step = r:pick { "s = $f(s, $t);", "float g = $t; if (g $sign s) { s = g; }" }
  local column = r:chance(0.4)
  local el = column and "x[(b * m + i) * n + j]" or "x[i * n + j]"
  local env = { f = f, t = subst(x.t, el), tp = subst(x.t, "p0[j]"), sign = x.sign, start = x.start, word = word }
  env.step = fill(base_step, env)
  if column then
    return { sig = "x[c,m,n] -> y[c,n]", sizes = "c=4,m=64,n=256",
      body = fill("for (int b = 0; b < c; b++) { for (int j = 0; j < n; j++) { float s = $start; for (int i = 0; i < m; i++) { $step } y[b * n + j] = s; } }", env),
      mild = { fill("for (int b = 0; b < c; b++) { for (int j = 0; j < n; j++) { float s = $start; for (int i = 0; i < m; i++) { float g = $t; s = g $sign s ? g : s; } y[b * n + j] = s; } }", env) },
      strong = { fill("for (int b = 0; b < c; b++) { float *q0 = y + b * n; for (int j = 0; j < n; j++) { q0[j] = $start; } for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float g = $t; q0[j] = g $sign q0[j] ? g : q0[j]; } } }", env) } }
  end
  return { sig = "x[m,n] -> y[m]", sizes = "m=64,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float s = $start; for (int j = 0; j < n; j++) { $step } y[i] = s; }", env),
    mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float s = $start; for (int j = 0; j < n; j++) { float g = $tp; s = g $sign s ? g : s; } y[i] = s; }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { float s = $start;\n#pragma omp simd reduction($word:s)\nfor (int j = 0; j < n; j++) { float g = $t; s = g $sign s ? g : s; } y[i] = s; }", env),
      fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float s = $start;\n#pragma omp simd reduction($word:s)\nfor (int j = 0; j < n; j++) { float g = $tp; s = g $sign s ? g : s; } y[i] = s; }", env) } }
end

local function spread(r)
  local what = r:pick { "b - a", "0.5f * (a + b)", "(b - a) * (b - a)" }
  local env = { w = what }
  return { sig = "x[m,n] -> y[m]", sizes = "m=64,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float a = x[i * n]; float b = x[i * n]; for (int j = 0; j < n; j++) { a = fminf(a, x[i * n + j]); b = fmaxf(b, x[i * n + j]); } y[i] = $w; }", env),
    mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = p0[0], b = p0[0]; for (int j = 1; j < n; j++) { float v = p0[j]; a = v < a ? v : a; b = v > b ? v : b; } y[i] = $w; }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = p0[0], b = p0[0];\n#pragma omp simd reduction(min:a) reduction(max:b)\nfor (int j = 0; j < n; j++) { float v = p0[j]; a = v < a ? v : a; b = v > b ? v : b; } y[i] = $w; }", env) } }
end

local function variance(r)
  local last = r:pick { "s / n", "sqrtf(s / n)", "s / (n - 1)", "sqrtf(s / n + 0.001f)" }
  local env = { last = last, sum = I.sum_loop("n", "", "p0[j]", true) }
  return { sig = "x[m,n] -> y[m]", sizes = "m=48,n=1024", odd = { n = 9 },
    body = fill("for (int i = 0; i < m; i++) { float a = 0.0f; for (int j = 0; j < n; j++) { a += x[i * n + j]; } a = a / n; float s = 0.0f; for (int j = 0; j < n; j++) { s += (x[i * n + j] - a) * (x[i * n + j] - a); } y[i] = $last; }", env),
    mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = 0.0f; for (int j = 0; j < n; j++) { a += p0[j]; } a /= n; float s = 0.0f; for (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } y[i] = $last; }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = 0.0f;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < n; j++) { a += p0[j]; } a /= n; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } y[i] = $last; }", env) } }
end

local function two_pass(r) -- mean absolute deviation, centred fourth moment …
  local t = r:pick { "fabsf(d)", "d * d * d", "(d * d) * (d * d)", "(d > 0.0f ? d : 0.0f)" }
  local env = { t = t }
  return { sig = "x[m,n] -> y[m]", sizes = "m=48,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float a = 0.0f; for (int j = 0; j < n; j++) { a += x[i * n + j]; } a /= n; float s = 0.0f; for (int j = 0; j < n; j++) { float d = x[i * n + j] - a; s += $t; } y[i] = s / n; }", env),
    mild = {}, strong = { fill("for (int i = 0; i < m; i++) { float a = 0.0f, s = 0.0f;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < n; j++) { a += x[i * n + j]; } a /= n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float d = x[i * n + j] - a; s += $t; } y[i] = s / n; }", env) } }
end

local defs = {}
for _, term in ipairs(TERMS) do
  defs[#defs + 1] = { id = "rows_" .. term.id, family = "row_reduction", weight = 2, make = function(r)
    local last
    repeat last = r:pick(ENDS) until (not last.pos or POSITIVE[term.id]) and not (term.id == "sum" and last.id == "mean") and not (term.id == "exp" and last.tol)
    return rows(term, last, r)
  end }
  defs[#defs + 1] = { id = "columns_" .. term.id, family = "column_reduction", weight = 2, l1 = term.id == "sum" and 47 or nil, make = function(r)
    local last
    repeat last = r:pick(ENDS) until (not last.pos or POSITIVE[term.id]) and not (term.id == "sum" and last.id ~= "") and not (term.id == "exp" and last.tol)
    return columns(term, last, r)
  end }
end
for _, x in ipairs(EXTREMES) do
  defs[#defs + 1] = { id = "extreme_" .. x.id, family = "extreme", make = function(r) return extreme(x, r) end }
end
defs[#defs + 1] = { id = "row_spread", family = "extreme", weight = 2, make = spread }
defs[#defs + 1] = { id = "row_variance", family = "row_reduction", weight = 2, make = variance }
defs[#defs + 1] = { id = "row_deviation", family = "row_reduction", weight = 2, make = two_pass }
return defs
