-- SPDX-License-Identifier: Apache-2.0
-- products.lua: sums over a shared index of two or three arrays: relatives of the matrix-vector and matrix-matrix product that are
-- none of the evaluation tasks. What there is to learn: put the loop over contiguous memory innermost (i, k, j), hoist the
-- element that does not depend on it, skip what a mask makes zero, block the output in a small local array when it is strided,
-- and reduce with several chains or `omp simd` where the sum itself is contiguous.
--
-- Absent (excluded.lua): A x, A B in any shape, symmetric A B, both operands transposed, upper * upper and lower * lower,
-- diag(a) B, batched products.

local I = require "corpus.idiom"
local fill, subst = I.fill, I.subst

local defs = {}
local function def(id, family, weight, make, l1) defs[#defs + 1] = { id = id, family = family, weight = weight, make = make, l1 = l1 } end

-- ── one row against one vector ──
local VEC_TERMS = {
  { id = "plain", t = "A * W", plain = true }, { id = "abs_gap", t = "fabsf(A - W)" }, { id = "square_gap", t = "(A - W) * (A - W)" },
  { id = "square_w", t = "A * A * W" }, { id = "w_square", t = "A * W * W" }, { id = "min", t = "(A < W ? A : W)", slow = "fminf(A, W)" },
  { id = "max_sum", t = "(A > W ? A : W)", slow = "fmaxf(A, W)" }, { id = "relu_gap", t = "(A > W ? A - W : 0.0f)", slow = "fmaxf(A - W, 0.0f)" },
  { id = "abs_w", t = "fabsf(A) * W" }, { id = "ratio", t = "A / (1.0f + W * W)" }, { id = "affine", t = "(A + 1.0f) * W" },
}
local VEC_ENDS = { { t = "s + b[i]", bias = true }, { t = "s * 0.125f - b[i]", bias = true }, { t = "b[i] - s", bias = true }, { t = "s * b[i]", bias = true },
  { t = "(s > 0.0f ? s : 0.0f)", slow = "fmaxf(s, 0.0f)" }, { t = "s * s" }, { t = "1.0f - s" }, { t = "s / (1.0f + fabsf(s))" }, { t = "s", free = true }, { t = "0.5f * s + 1.0f" }, { t = "s / n", free = true } }
local function tw(t, a, w) return (t:gsub("%f[%w_]A%f[^%w_]", a):gsub("%f[%w_]W%f[^%w_]", w)) end

for _, term in ipairs(VEC_TERMS) do
  def("vec_" .. term.id, "weighted_rows", term.plain and 5 or 2, function(r)
    local last
    repeat last = r:pick(VEC_ENDS) until not (term.plain and last.free)
    local env = { base = tw(term.slow or term.t, "a[i * n + j]", "x[j]"), t = tw(term.t, "a[i * n + j]", "x[j]"), tp = tw(term.t, "p0[j]", "x[j]"), fin = last.t, slow = last.slow or last.t }
    local function w(a) return fill("for (int i = 0; i < m; i++) { " .. a .. " y[i] = $fin; }", env) end
    local four = {}
    for q = 0, 3 do
      four[q + 1] = tw(term.t, "p" .. q .. "[j]", "x[j]")
    end
    local function fin(q) return (last.t:gsub("%f[%w_]s%f[^%w_]", "s" .. q):gsub("b%[i%]", q == 0 and "b[i]" or "b[i + " .. q .. "]")) end
    local rows4 = fill([[int i = 0;
      for (; i + 3 < m; i += 4) {
        const float *p0 = a + i * n, *p1 = p0 + n, *p2 = p1 + n, *p3 = p2 + n;
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        #pragma omp simd reduction(+:s0, s1, s2, s3)
        for (int j = 0; j < n; j++) { s0 += $t0; s1 += $t1; s2 += $t2; s3 += $t3; }
        y[i] = $f0; y[i + 1] = $f1; y[i + 2] = $f2; y[i + 3] = $f3;
      }
      for (; i < m; i++) { $one y[i] = $fin; }]], { t0 = four[1], t1 = four[2], t2 = four[3], t3 = four[4], f0 = fin(0), f1 = fin(1), f2 = fin(2), f3 = fin(3), fin = last.t,
      one = I.sum_loop("n", "", env.t, true) })
    local strong = { w(I.sum_loop("n", "", env.t, true)), w("const float *p0 = a + i * n;" .. I.sum_loop("n", "", env.tp, true)),
      w("const float *p0 = a + i * n;" .. I.sum_four("n", function(j) return tw(term.t, "p0[" .. j .. "]", "x[" .. j .. "]") end)) }
    if term.plain or term.id == "square_gap" then strong[#strong + 1] = rows4 end
    return { sig = "a[m,n], x[n]" .. (last.bias and ", b[m]" or "") .. " -> y[m]", sizes = r:pick { "m=64,n=1024", "m=128,n=512", "m=100,n=700" },
      body = fill("for (int i = 0; i < m; i++) { " .. I.sum_loop("n", "", env.base) .. " y[i] = $slow; }", env),
      mild = { w("const float *p0 = a + i * n;" .. I.sum_loop("n", "", env.tp)) }, strong = strong }
  end)
end

def("vec_from_left", "weighted_rows", 4, function(r) -- y = x^T A and relatives: the sum runs down a column
  local t = r:pick { { b = "a[i * n + j] * x[i]", p = "p0[j] * v" }, { b = "fabsf(a[i * n + j] - x[i])", p = "fabsf(p0[j] - v)" }, { b = "a[i * n + j] * a[i * n + j] * x[i]", p = "p0[j] * p0[j] * v" } }
  local add = r:pick { "", " + c[j]", " - c[j]" }
  local neg = add == " - c[j]" and "-c[j]" or "c[j]"
  local env = { b = t.b, p = t.p, add = add, start = add == "" and "0.0f" or neg, tail = t.p:gsub("p0%[j%]", "a[i * n + j]"):gsub("%f[%w]v%f[%W]", "x[i]") }
  return { sig = "a[m,n], x[m]" .. (add ~= "" and ", c[n]" or "") .. " -> y[n]", sizes = "m=200,n=300",
    body = fill("for (int j = 0; j < n; j++) { float s = 0.0f; for (int i = 0; i < m; i++) { s += $b; } y[j] = s$add; }", env), mild = {},
    strong = { fill("for (int j = 0; j < n; j++) { y[j] = $start; } for (int i = 0; i < m; i++) { float v = x[i]; const float *p0 = a + i * n; for (int j = 0; j < n; j++) { y[j] += $p; } }", env),
      fill("for (int j = 0; j < n; j++) { y[j] = $start; } for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[j] += $tail; } }", env) } }
end)
def("vec_two", "weighted_rows", 2, function(r) -- two vectors at once
  local env = { e0 = r:pick { "s0", "s0 + s1", "s0 - s1" }, e1 = r:pick { "s1", "s0 * s1" } }
  return { sig = "a[m,n], x[n], w[n] -> y[m], z[m]", sizes = "m=64,n=900",
    body = fill("for (int i = 0; i < m; i++) { float s0 = 0.0f; for (int j = 0; j < n; j++) { s0 += a[i * n + j] * x[j]; } float s1 = 0.0f; for (int j = 0; j < n; j++) { s1 += a[i * n + j] * w[j]; } y[i] = $e0 + 1.0f; z[i] = $e1 - 1.0f; }", env),
    mild = { fill("for (int i = 0; i < m; i++) { float s0 = 0.0f, s1 = 0.0f; for (int j = 0; j < n; j++) { s0 += a[i * n + j] * x[j]; s1 += a[i * n + j] * w[j]; } y[i] = $e0 + 1.0f; z[i] = $e1 - 1.0f; }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = a + i * n; float s0 = 0.0f, s1 = 0.0f;\n#pragma omp simd reduction(+:s0, s1)\nfor (int j = 0; j < n; j++) { s0 += p0[j] * x[j]; s1 += p0[j] * w[j]; } y[i] = $e0 + 1.0f; z[i] = $e1 - 1.0f; }", env) } }
end)
def("vec_cosine", "weighted_rows", 2, function(r)
  local env = { eps = r:pick { "1e-3f", "0.01f", "0.1f" } }
  return { sig = "a[m,n], x[n] -> y[m]", sizes = "m=64,n=700",
    body = fill("for (int i = 0; i < m; i++) { float s = 0.0f; float p = 0.0f; float q = 0.0f; for (int j = 0; j < n; j++) { s += a[i * n + j] * x[j]; p += a[i * n + j] * a[i * n + j]; q += x[j] * x[j]; } y[i] = s / (sqrtf(p * q) + $eps); }", env),
    mild = { fill("float q = 0.0f; for (int j = 0; j < n; j++) { q += x[j] * x[j]; } for (int i = 0; i < m; i++) { float s = 0.0f, p = 0.0f; for (int j = 0; j < n; j++) { float v = a[i * n + j]; s += v * x[j]; p += v * v; } y[i] = s / (sqrtf(p * q) + $eps); }", env) },
    strong = { fill("float q = 0.0f;\n#pragma omp simd reduction(+:q)\nfor (int j = 0; j < n; j++) { q += x[j] * x[j]; } for (int i = 0; i < m; i++) { float s = 0.0f, p = 0.0f;\n#pragma omp simd reduction(+:s, p)\nfor (int j = 0; j < n; j++) { float v = a[i * n + j]; s += v * x[j]; p += v * v; } y[i] = s / (sqrtf(p * q) + $eps); }", env) } }
end)
def("vec_banded", "weighted_rows", 2, function(r)
  local w = r:pick { 2, 4, 8 }
  local env = { w = w }
  return { sig = "a[n,n], x[n] -> y[n]", sizes = "n=300",
    body = fill("for (int i = 0; i < n; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { if (j >= i - $w && j <= i + $w) { s += a[i * n + j] * x[j]; } } y[i] = s; }", env),
    mild = {}, strong = { fill("for (int i = 0; i < n; i++) { int lo = i - $w < 0 ? 0 : i - $w; int hi = i + $w < n ? i + $w : n - 1; float s = 0.0f; for (int j = lo; j <= hi; j++) { s += a[i * n + j] * x[j]; } y[i] = s; }", env) } }
end)
def("vec_half", "weighted_rows", 3, function(r)
  local up = r:chance(0.5)
  local strict = r:chance(0.5)
  local cond = up and (strict and "j > i" or "j >= i") or (strict and "j < i" or "j <= i")
  local from = up and (strict and "i + 1" or "i") or "0"
  local to = up and "n" or (strict and "i" or "i + 1")
  local env = { cond = cond, from = from, to = to }
  return { sig = "a[n,n], x[n] -> y[n]", sizes = "n=256",
    body = fill("for (int i = 0; i < n; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { if ($cond) { s += a[i * n + j] * x[j]; } } y[i] = s; }", env),
    mild = { fill("for (int i = 0; i < n; i++) { float s = 0.0f; for (int j = $from; j < $to; j++) { s += a[i * n + j] * x[j]; } y[i] = s; }", env) },
    strong = { fill("for (int i = 0; i < n; i++) { const float *p0 = a + i * n; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = $from; j < $to; j++) { s += p0[j] * x[j]; } y[i] = s; }", env) } }
end)
def("quadratic_form", "weighted_rows", 2, function(r)
  local end_ = r:pick { "s", "0.5f * s", "s + 1.0f" }
  local env = { e = end_ }
  return { sig = "a[n,n], x[n] -> y[1]", sizes = "n=256",
    body = fill("float s = 0.0f; for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { s += x[i] * a[i * n + j] * x[j]; } } y[0] = $e;", env), mild = { fill("float s = 0.0f; for (int i = 0; i < n; i++) { float p = 0.0f; for (int j = 0; j < n; j++) { p += a[i * n + j] * x[j]; } s += x[i] * p; } y[0] = $e;", env) },
    strong = { fill("float s = 0.0f; for (int i = 0; i < n; i++) { const float *p0 = a + i * n; float p = 0.0f;\n#pragma omp simd reduction(+:p)\nfor (int j = 0; j < n; j++) { p += p0[j] * x[j]; } s += x[i] * p; } y[0] = $e;", env) } }
end)

-- ── matrix products: layout of the operands × term × mask × end ──
-- A layout says how a and b are stored; index texts use i (row of c), j (column of c) and p (shared index).
local NN = { a = "a[i * k + p]", b = "b[p * n + j]", sig = "a[m,k], b[k,n]" }
local TN = { a = "a[p * m + i]", b = "b[p * n + j]", sig = "a[k,m], b[k,n]" }
local NT = { a = "a[i * k + p]", b = "b[j * k + p]", sig = "a[m,k], b[n,k]" }
local TT = { a = "a[p * m + i]", b = "b[j * k + p]", sig = "a[k,m], b[n,k]" }
local SIZES = { "m=48,n=48,k=64", "m=40,n=56,k=48", "m=64,n=64,k=32", "m=32,n=72,k=64" }
local function ab(t, a, b) return (t:gsub("%f[%w_]A%f[^%w_]", a):gsub("%f[%w_]B%f[^%w_]", b)) end

local TERMS = {
  gap2 = "(A - B) * (A - B)", gap1 = "fabsf(A - B)", weight = "w[p] * A * B", sq = "A * B * B", absprod = "fabsf(A * B)", relu = "(A > 0.0f ? A * B : 0.0f)",
  prod = "A * B", least = "(A < B ? A : B)", absb = "A * fabsf(B)", shift = "(A + 0.5f) * B", third = "A * B * 0.333f", damp = "A * B / (1.0f + w[p] * w[p])",
}
local SLOW = { relu = "fmaxf(A, 0.0f) * B", least = "fminf(A, B)" }
local WEIGHTED = { weight = true, damp = true }
local ENDS = { { t = "s", free = true }, { t = "s + d[j]", arg = "d[n]" }, { t = "s + d[i]", arg = "d[m]" }, { t = "(s > 0.0f ? s : 0.0f)", slow = "fmaxf(s, 0.0f)" }, { t = "2.0f * s - 1.0f" }, { t = "s * s" },
  { t = "s * d[j]", arg = "d[n]" }, { t = "s / (1.0f + fabsf(s))" }, { t = "s + d[i * n + j]", arg = "d[m,n]" } }

local function product(layout, term, last, r)
  local t = TERMS[term]
  local env = { a = layout.a, b = layout.b, base = ab(SLOW[term] or t, layout.a, layout.b), t = ab(t, layout.a, layout.b), fin = last.t, slow = last.slow or last.t, tv = ab(t, "v", layout.b) }
  local finish = last.t == "s" and "" or fill("for (int j = 0; j < n; j++) { float s = c[i * n + j]; c[i * n + j] = $fin; }", env)
  env.finish = finish
  local body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += $base; } c[i * n + j] = $slow; } }", env)
  local mild, strong = {}, {}
  if layout == NN or layout == TN then
    strong[1] = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = 0.0f; } for (int p = 0; p < k; p++) { float v = $a; for (int j = 0; j < n; j++) { c[i * n + j] += $tv; } } $finish }", env)
    env.tq = ab(t, "v", "q0[j]")
    strong[2] = fill("for (int i = 0; i < m; i++) { float *r0 = c + i * n; for (int j = 0; j < n; j++) { r0[j] = 0.0f; } for (int p = 0; p < k; p++) { float v = $a; const float *q0 = b + p * n; for (int j = 0; j < n; j++) { r0[j] += $tq; } } $finish }", env)
    mild[1] = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += $t; } c[i * n + j] = $fin; } }", env)
  elseif layout == NT then
    strong[1] = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int p = 0; p < k; p++) { s += $t; } c[i * n + j] = $fin; } }", env)
    env.tq = ab(t, "p0[p]", "q0[p]")
    strong[2] = fill("for (int i = 0; i < m; i++) { const float *p0 = a + i * k; for (int j = 0; j < n; j++) { const float *q0 = b + j * k; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int p = 0; p < k; p++) { s += $tq; } c[i * n + j] = $fin; } }", env)
    mild[1] = fill("for (int i = 0; i < m; i++) { const float *p0 = a + i * k; for (int j = 0; j < n; j++) { const float *q0 = b + j * k; float s = 0.0f; for (int p = 0; p < k; p++) { s += $tq; } c[i * n + j] = $fin; } }", env)
  else -- both strided along p: a block of rows of c as accumulators, contiguous in a
    env.ti = ab(t, "a[p * m + i0 + i]", "v")
    env.finb = (last.t:gsub("%f[%w]i%f[%W]", "(i0 + i)"):gsub("%[%(i0 %+ i%)%]", "[i0 + i]"))
    strong[1] = fill([[for (int j = 0; j < n; j++) {
      for (int i0 = 0; i0 < m; i0 += 64) {
        int h = m - i0 < 64 ? m - i0 : 64;
        float acc[64] = {0.0f};
        for (int p = 0; p < k; p++) { float v = b[j * k + p]; for (int i = 0; i < h; i++) { acc[i] += $ti; } }
        for (int i = 0; i < h; i++) { float s = acc[i]; c[(i0 + i) * n + j] = $finb; }
      } }]], env)
    env.tj = ab(t, "v", "b[j * k + p]")
    mild[1] = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = 0.0f; } for (int p = 0; p < k; p++) { float v = a[p * m + i]; for (int j = 0; j < n; j++) { c[i * n + j] += $tj; } } $finish }", env)
    strong[2] = mild[1]
    mild[1] = nil
  end
  return { sig = layout.sig .. (WEIGHTED[term] and ", w[k]" or "") .. (last.arg and ", " .. last.arg or "") .. " -> c[m,n]", sizes = r:pick(SIZES), body = body, mild = mild, strong = strong }
end

def("matmul_at_b", "product", 6, function(r) return product(TN, "prod", ENDS[1], r) end, 16)
def("matmul_a_bt", "product", 6, function(r) return product(NT, "prod", ENDS[1], r) end, 17)
for _, e in ipairs { { "nn", NN, 6 }, { "tn", TN, 6 }, { "nt", NT, 6 }, { "tt", TT, 20 } } do
  local name, layout, weight = e[1], e[2], e[3]
  def("product_ends_" .. name, "product", weight, function(r)
    local last
    repeat last = r:pick(ENDS) until not last.free
    return product(layout, "prod", last, r)
  end)
  for _, term in ipairs { "gap2", "gap1", "weight", "sq", "absprod", "relu", "least", "absb", "shift", "damp" } do
    def("product_" .. term .. "_" .. name, "product", name == "tt" and 4 or 1, function(r) return product(layout, term, r:chance(0.6) and ENDS[1] or r:pick(ENDS), r) end)
  end
end

-- ── masked and triangular relatives: which p take part, for which (i, j) the output is not zero ──
-- lo/hi: first and past-last p; cond: the same as a test; keep: range of j in the output, else zero.
local MASKS = {
  { id = "lower_dense", cond = "p <= i", lo = "0", hi = "i + 1", fam = "tri" }, { id = "upper_dense", cond = "p >= i", lo = "i", hi = "n", fam = "tri" },
  { id = "strict_lower_dense", cond = "p < i", lo = "0", hi = "i", fam = "tri" }, { id = "strict_upper_dense", cond = "p > i", lo = "i + 1", hi = "n", fam = "tri" },
  { id = "band_dense", cond = "p >= i - 3 && p <= i + 3", lo = "(i > 3 ? i - 3 : 0)", hi = "(i + 4 < n ? i + 4 : n)", fam = "tri" },
  { id = "upper_lower", cond = "p >= i && p >= j", lo = "(i > j ? i : j)", hi = "n", fam = "tri", axpy_lo = "i", axpy_j = { "0", "p + 1" } },
  { id = "lower_upper", cond = "p <= i && p <= j", lo = "0", hi = "(i < j ? i : j) + 1", fam = "tri", axpy_hi = "i + 1", axpy_j = { "p", "n" } },
  { id = "strict_upper_both", cond = "p > i && p < j", lo = "i + 1", hi = "j", fam = "tri", axpy_hi = "n", axpy_j = { "p + 1", "n" }, keep = "j >= i + 2" },
  { id = "strict_lower_both", cond = "p < i && p > j", lo = "j + 1", hi = "i", fam = "tri", axpy_lo = "0", axpy_j = { "0", "p" }, keep = "j + 2 <= i" },
  { id = "band_both", cond = "p >= i && p <= i + 4 && p <= j", lo = "i", hi = "(i + 5 < j + 1 ? i + 5 : j + 1)", fam = "tri", axpy_hi = "(i + 5 < n ? i + 5 : n)", axpy_j = { "p", "n" } },
  { id = "dense_upper_right", cond = "p <= j", lo = "0", hi = "j + 1", fam = "tri", axpy_hi = "n", axpy_j = { "p", "n" } },
  { id = "dense_lower_right", cond = "p >= j", lo = "j", hi = "n", fam = "tri", axpy_lo = "0", axpy_j = { "0", "p + 1" } },
  { id = "even", cond = "p % 2 == 0", step = 2, lo = "0", hi = "n", fam = "tri" },
  { id = "after_gap", cond = "p >= i + 2 && p <= j", lo = "i + 2", hi = "j + 1", fam = "tri", axpy_hi = "n", axpy_j = { "p", "n" } },
  { id = "before_gap", cond = "p <= i - 2 && p >= j", lo = "j", hi = "i - 1", fam = "tri", axpy_lo = "0", axpy_j = { "0", "p + 1" } },
}
for _, k in ipairs(MASKS) do
  def("masked_" .. k.id, "triangular", 3, function(r)
    local t = r:pick { "a[i * n + p] * b[p * n + j]", "a[i * n + p] * b[p * n + j]", "a[i * n + p] * b[p * n + j] * 0.5f", "a[i * n + p] * fabsf(b[p * n + j])" }
    local env = { cond = k.cond, lo = k.lo, hi = k.hi, t = t, tv = t:gsub("a%[i %* n %+ p%]", "v"), alo = k.axpy_lo or k.lo, ahi = k.axpy_hi or k.hi,
      jlo = k.axpy_j and k.axpy_j[1] or "0", jhi = k.axpy_j and k.axpy_j[2] or "n", inc = k.step and "p += 2" or "p++" }
    env.tq = env.tv:gsub("b%[p %* n %+ j%]", "q0[j]")
    local form = r:int(1, k.keep and 4 or 3)
    local body
    if form == 1 then
      body = fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < n; p++) { if ($cond) { s += $t; } } c[i * n + j] = s; } }", env)
    elseif form == 2 then
      body = fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = $lo; p < $hi; $inc) { s += $t; } c[i * n + j] = s; } }", env)
    elseif form == 3 then
      body = fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = 0.0f; for (int p = 0; p < n; p++) { c[i * n + j] += $cond ? $t : 0.0f; } } }", { cond = "(" .. k.cond .. ")", t = t })
    else
      env.keep = k.keep
      body = fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { if ($keep) { float s = 0.0f; for (int p = $lo; p < $hi; p++) { s += $t; } c[i * n + j] = s; } else { c[i * n + j] = 0.0f; } } }", env)
    end
    local mild = { fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = $lo; p < $hi; $inc) { s += $t; } c[i * n + j] = s; } }", env) }
    if form == 2 then mild = {} end
    return { sig = "a[n,n], b[n,n] -> c[n,n]", sizes = r:pick { "n=56", "n=64", "n=48" }, body = body, mild = mild,
      strong = { fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = 0.0f; } for (int p = $alo; p < $ahi; $inc) { float v = a[i * n + p]; for (int j = $jlo; j < $jhi; j++) { c[i * n + j] += $tv; } } }", env),
        fill("for (int i = 0; i < n; i++) { float *r0 = c + i * n; for (int j = 0; j < n; j++) { r0[j] = 0.0f; } for (int p = $alo; p < $ahi; $inc) { float v = a[i * n + p]; const float *q0 = b + p * n; for (int j = $jlo; j < $jhi; j++) { r0[j] += $tq; } } }", env) } }
  end)
end
-- Dense operands, part of the output. (Upper or lower parts of a plain product read like tasks 14 and 15, whose operands are
-- triangular by their inputs, so the term or the layout differs here, or the kept part does.)
local KEEP = {
  { id = "lower", keep = "j <= i", lo = "0", hi = "i + 1" }, { id = "upper", keep = "j >= i", lo = "i", hi = "n" }, { id = "strict_lower", keep = "j < i", lo = "0", hi = "i", plain = true },
  { id = "strict_upper", keep = "j > i", lo = "i + 1", hi = "n", plain = true }, { id = "band", keep = "j >= i - 4 && j <= i + 4", lo = "(i < 4 ? 0 : i - 4)", hi = "(i + 5 < n ? i + 5 : n)", plain = true },
}
local PART_TERMS = { { a = "a[i * n + p]", t = "V * b[p * n + j]", plain = true }, { a = "a[p * n + i]", t = "V * b[p * n + j]" }, { a = "a[i * n + p]", t = "fabsf(V - b[p * n + j])" }, { a = "a[i * n + p]", t = "0.5f * V * b[p * n + j]" },
  { a = "a[i * n + p]", t = "V * V * b[p * n + j]" }, { a = "a[p * n + i]", t = "V * b[p * n + j] * w[p]", arg = ", w[n]" }, { a = "a[i * n + p]", t = "V * b[p * n + j] * w[p]", arg = ", w[n]" } }
for _, k in ipairs(KEEP) do
  def("output_" .. k.id, "triangular", 12, function(r)
    local term
    repeat term = r:pick(PART_TERMS) until k.plain or not term.plain
    local fill_value = r:pick { "0.0f", "0.0f", "0.0f", "-1.0f" }
    local env = { keep = k.keep, lo = k.lo, hi = k.hi, t = (term.t:gsub("V", term.a)), a = term.a, tv = (term.t:gsub("V", "v")), z = fill_value }
    env.tq = env.tv:gsub("b%[p %* n %+ j%]", "q0[j]")
    local form = r:pick {
      "for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < n; p++) { s += $t; } c[i * n + j] = $keep ? s : $z; } }",
      "for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < n; p++) { s += $t; } c[i * n + j] = $keep ? s : $z; } }",
      "for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = $z; if ($keep) { float s = 0.0f; for (int p = 0; p < n; p++) { s += $t; } c[i * n + j] = s; } } }" }
    if k.id == "band" then env.keep = "(" .. k.keep .. ")" end
    local clear = fill_value == "0.0f" and "" or fill("for (int j = $lo; j < $hi; j++) { c[i * n + j] = 0.0f; }", env)
    env.clear = clear
    return { sig = "a[n,n], b[n,n]" .. (term.arg or "") .. " -> c[n,n]", sizes = r:pick { "n=56", "n=64", "n=67" }, body = fill(form, env), mild = {},
      strong = { fill("for (int i = 0; i < n; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = $z; } $clear for (int p = 0; p < n; p++) { float v = $a; for (int j = $lo; j < $hi; j++) { c[i * n + j] += $tv; } } }", env),
        fill("for (int i = 0; i < n; i++) { float *r0 = c + i * n; for (int j = 0; j < n; j++) { r0[j] = $z; } $clear for (int p = 0; p < n; p++) { float v = $a; const float *q0 = b + p * n; for (int j = $lo; j < $hi; j++) { r0[j] += $tq; } } }", env) } }
  end)
end

-- ── products with a structured left operand written as a dense product with a test ──
local STRUCT = {
  { id = "right_diagonal", sig = "b[m,n], d[n] -> c[m,n]", k = "n", naive = "b[i * n + p] * (p == j ? d[j] : 0.0f)", naive2 = "if (p == j) { s += b[i * n + p] * d[p]; }", fast = "b[i * n + j] * d[j]" },
  { id = "two_diagonals", sig = "d[m], e[n], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? d[i] : 0.0f) * b[p * n + j] * e[j]", naive2 = "if (p == i) { s += d[p] * b[p * n + j] * e[j]; }", fast = "d[i] * b[i * n + j] * e[j]", hoist = "float v = d[i];", fastv = "v * b[i * n + j] * e[j]" },
  { id = "diagonal_plus", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? d[i] + 1.0f : 0.0f) * b[p * n + j]", naive2 = "if (p == i) { s += (d[p] + 1.0f) * b[p * n + j]; }", fast = "(d[i] + 1.0f) * b[i * n + j]", hoist = "float v = d[i] + 1.0f;", fastv = "v * b[i * n + j]" },
  { id = "anti_diagonal", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == m - 1 - i ? d[i] : 0.0f) * b[p * n + j]", naive2 = "if (p + i == m - 1) { s += d[i] * b[p * n + j]; }", fast = "d[i] * b[(m - 1 - i) * n + j]", hoist = "float v = d[i]; const float *p0 = b + (m - 1 - i) * n;", fastv = "v * p0[j]" },
  { id = "diagonal_square", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? d[i] * d[p] : 0.0f) * b[p * n + j]", naive2 = "if (p == i) { s += d[p] * d[i] * b[p * n + j]; }", fast = "d[i] * d[i] * b[i * n + j]", hoist = "float v = d[i] * d[i];", fastv = "v * b[i * n + j]" },
  { id = "inverse_diagonal", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? 1.0f / (1.0f + d[i] * d[i]) : 0.0f) * b[p * n + j]", naive2 = "if (p == i) { s += b[p * n + j] / (1.0f + d[p] * d[p]); }", fast = "b[i * n + j] / (1.0f + d[i] * d[i])", hoist = "float v = 1.0f / (1.0f + d[i] * d[i]);", fastv = "v * b[i * n + j]" },
  { id = "abs_diagonal", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? fabsf(d[i]) : 0.0f) * b[p * n + j]", naive2 = "if (i == p) { s += fabsf(d[i]) * b[p * n + j]; }", fast = "fabsf(d[i]) * b[i * n + j]", hoist = "float v = fabsf(d[i]);", fastv = "v * b[i * n + j]" },
  { id = "identity_minus", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "((p == i ? 1.0f : 0.0f) - (p == i ? d[i] : 0.0f)) * b[p * n + j]", naive2 = "if (p == i) { s += (1.0f - d[p]) * b[p * n + j]; }", fast = "(1.0f - d[i]) * b[i * n + j]", hoist = "float v = 1.0f - d[i];", fastv = "v * b[i * n + j]" },
  { id = "row_pick", sig = "t:i32<m[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == t[i] ? 1.0f : 0.0f) * b[p * n + j]", naive2 = "if (p == t[i]) { s += b[p * n + j]; }", fast = "b[t[i] * n + j]", hoist = "const float *p0 = b + t[i] * n;", fastv = "p0[j]" },
  { id = "next_row", sig = "d[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == (i + 1) % m ? d[i] : 0.0f) * b[p * n + j]", naive2 = "if (p == (i + 1) % m) { s += d[i] * b[p * n + j]; }", fast = "d[i] * b[(i + 1) % m * n + j]", hoist = "float v = d[i]; const float *p0 = b + (i + 1) % m * n;", fastv = "v * p0[j]" },
  { id = "two_bands", sig = "d[m], e[m], b[m,n] -> c[m,n]", k = "m", naive = "(p == i ? d[i] : (p == i - 1 ? e[i] : 0.0f)) * b[p * n + j]", naive2 = "if (p == i) { s += d[i] * b[p * n + j]; } else if (p == i - 1) { s += e[i] * b[p * n + j]; }",
    fast = "d[i] * b[i * n + j] + (i > 0 ? e[i] * b[(i > 0 ? i - 1 : 0) * n + j] : 0.0f)", hoist = "float v = d[i]; float g = i > 0 ? e[i] : 0.0f; const float *p0 = b + i * n; const float *q0 = i > 0 ? p0 - n : p0;", fastv = "v * p0[j] + g * q0[j]" },
}
for _, k in ipairs(STRUCT) do
  def("structured_" .. k.id, "structured", (k.id == "two_bands" or k.id == "row_pick" or k.id == "next_row" or k.id == "anti_diagonal") and 1 or 10, function(r)
    local naive = k.naive
    if k.k == "m" and not k.id:find("anti") and not k.id:find("next") and not k.id:find("bands") and not k.id:find("pick") and r:chance(0.6) then naive = naive:gsub("d%[i%]", "d[p]") end
    local env = { k = k.k, naive = naive, naive2 = k.naive2, fast = k.fast, hoist = k.hoist or "", fastv = k.fastv or k.fast }
    local body = fill(r:pick {
      "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < $k; p++) { s += $naive; } c[i * n + j] = s; } }",
      "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < $k; p++) { $naive2 } c[i * n + j] = s; } }",
      "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = 0.0f; for (int p = 0; p < $k; p++) { c[i * n + j] += $naive; } } }" }, env)
    local strong = { fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { c[i * n + j] = $fast; } }", env) }
    if k.hoist then
      strong[2] = fill("for (int i = 0; i < m; i++) { $hoist for (int j = 0; j < n; j++) { c[i * n + j] = $fastv; } }", env)
    end
    return { sig = k.sig, sizes = r:pick { "m=48,n=48", "m=56,n=40", "m=64,n=48" }, body = body, mild = {}, strong = strong }
  end)
end

-- ── gram matrices, max-plus, attention ──
def("gram_rows", "product", 3, function(r)
  local tail = r:pick { "s", "s / k", "s * s" }
  local env = { e = tail }
  return { sig = "a[m,k] -> c[m,m]", sizes = "m=56,k=64",
    body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < m; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += a[i * k + p] * a[j * k + p]; } c[i * m + j] = $e; } }", env),
    mild = { fill("for (int i = 0; i < m; i++) { for (int j = 0; j <= i; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += a[i * k + p] * a[j * k + p]; } c[i * m + j] = $e; c[j * m + i] = c[i * m + j]; } }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { for (int j = 0; j <= i; j++) { float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int p = 0; p < k; p++) { s += a[i * k + p] * a[j * k + p]; } c[i * m + j] = $e; c[j * m + i] = c[i * m + j]; } }", env) } }
end)
def("gram_columns", "product", 3, function(r)
  return { sig = "a[k,m] -> c[m,m]", sizes = "m=56,k=64",
    body = "for (int i = 0; i < m; i++) { for (int j = 0; j < m; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += a[p * m + i] * a[p * m + j]; } c[i * m + j] = s; } }", mild = {},
    strong = { "for (int i = 0; i < m; i++) { for (int j = 0; j < m; j++) { c[i * m + j] = 0.0f; } for (int p = 0; p < k; p++) { float v = a[p * m + i]; for (int j = 0; j < m; j++) { c[i * m + j] += v * a[p * m + j]; } } }" } }
end)
def("max_plus", "product", 3, function(r)
  local big = r:chance(0.5)
  local env = { f = big and "fmaxf" or "fminf", sg = big and ">" or "<", st = big and "-1e30f" or "1e30f", op = r:pick { "+", "-", "*" } }
  return { sig = "a[m,k], b[k,n] -> c[m,n]", sizes = "m=40,n=48,k=40",
    body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = $st; for (int p = 0; p < k; p++) { s = $f(s, a[i * k + p] $op b[p * n + j]); } c[i * n + j] = s; } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { float *r0 = c + i * n; for (int j = 0; j < n; j++) { r0[j] = $st; } for (int p = 0; p < k; p++) { float v = a[i * k + p]; for (int j = 0; j < n; j++) { float g = v $op b[p * n + j]; r0[j] = g $sg r0[j] ? g : r0[j]; } } }", env) } }
end)
def("attention", "attention", 4, function(r)
  return { sig = "q[h,m,d], a[h,m,d], b[h,m,d] -> y[h,m,d]", sizes = "h=2,m=48,d=32", tol = true, odd = { m = 7 },
    body = [[for (int z = 0; z < h; z++) { for (int i = 0; i < m; i++) {
      float top = -1e30f;
      for (int j = 0; j < m; j++) { float s = 0.0f; for (int p = 0; p < d; p++) { s += q[(z * m + i) * d + p] * a[(z * m + j) * d + p]; } top = fmaxf(top, s / sqrtf((float)d)); }
      float sum = 0.0f;
      for (int p = 0; p < d; p++) { y[(z * m + i) * d + p] = 0.0f; }
      for (int j = 0; j < m; j++) { float s = 0.0f; for (int p = 0; p < d; p++) { s += q[(z * m + i) * d + p] * a[(z * m + j) * d + p]; } float g = expf(s / sqrtf((float)d) - top); sum += g; for (int p = 0; p < d; p++) { y[(z * m + i) * d + p] += g * b[(z * m + j) * d + p]; } }
      for (int p = 0; p < d; p++) { y[(z * m + i) * d + p] /= sum; } } }]], mild = {},
    strong = { [[float c = 1.0f / sqrtf((float)d);
      for (int i = 0; i < h * m; i++) { const float *p0 = q + i * d; const float *ka = a + i / m * m * d; const float *kb = b + i / m * m * d; float *r0 = y + i * d;
      float top = -1e30f, sum = 0.0f;
      for (int p = 0; p < d; p++) { r0[p] = 0.0f; }
      for (int j = 0; j < m; j++) { float s = 0.0f;
      #pragma omp simd reduction(+:s)
      for (int p = 0; p < d; p++) { s += p0[p] * ka[j * d + p]; } s *= c;
      if (s > top) { float g = expf(top - s); for (int p = 0; p < d; p++) { r0[p] *= g; } sum *= g; top = s; }
      float g = expf(s - top); sum += g; for (int p = 0; p < d; p++) { r0[p] += g * kb[j * d + p]; } }
      for (int p = 0; p < d; p++) { r0[p] /= sum; } }]] } }
end, 97)
def("linear_attention", "attention", 2, function(r)
  local f = r:pick { "v * v", "(v > 0.0f ? v : 0.0f)", "fabsf(v)" }
  local env = { fq = subst(f, "q[i * d + p]"), fa = subst(f, "a[j * d + p]") }
  return { sig = "q[m,d], a[m,d], w[m] -> y[m]", sizes = "m=64,d=32", body = fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < m; j++) { for (int p = 0; p < d; p++) { s += $fq * $fa * w[j]; } } y[i] = s; }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < m; j++) { float g = 0.0f;\n#pragma omp simd reduction(+:g)\nfor (int p = 0; p < d; p++) { g += $fq * $fa; } s += g * w[j]; } y[i] = s; }", env) } }
end)
return defs
