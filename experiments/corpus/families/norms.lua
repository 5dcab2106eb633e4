-- SPDX-License-Identifier: Apache-2.0
-- norms.lua: divide (or shift) the elements of a group by a statistic of the group: rows, channels, groups of channels, batches.
-- What there is to learn: compute the statistic once and not per element, reduce it in several chains, multiply by one
-- reciprocal, and for a statistic across channels keep a block of positions as accumulators so that memory is read in order.
--
-- Absent: x / rms(x), x / mean|x|, x / ||x|| (with or without epsilon or weight), the whole-tensor norm, softmax.

local I = require "corpus.idiom"
local fill, subst = I.fill, I.subst
local defs = {}
local function def(id, family, weight, make, l1) defs[#defs + 1] = { id = id, family = family, weight = weight, make = make, l1 = l1 } end

-- A statistic: sum of `t`, then `d` (of s and the count N) is what every element meets in `o` (v and d).
local STATS = {
  { id = "mean_shift", t = "v", d = "s / N", o = "v - d" }, { id = "one_rms", t = "v * v", d = "sqrtf(1.0f + s / N)", o = "v / d", inv = "1.0f / sqrtf(1.0f + s / N)" },
  { id = "one_abs", t = "fabsf(v)", d = "1.0f + s / N", o = "v / d", inv = "1.0f / (1.0f + s / N)" }, { id = "squash", t = "v * v", d = "(1.0f + s) / sqrtf(s + 0.01f)", o = "v / d", inv = "sqrtf(s + 0.01f) / (1.0f + s)" },
  { id = "fourth", t = "(v * v) * (v * v)", d = "sqrtf(sqrtf(s / N + 0.001f))", o = "v / d", inv = "1.0f / sqrtf(sqrtf(s / N + 0.001f))", slow = "powf(v, 4.0f)" },
  { id = "gain", t = "v * v", d = "sqrtf(s / N + 0.01f)", o = "v * d" }, { id = "response", t = "v * v", d = "sqrtf(2.0f + 0.5f * s)", o = "v / d", inv = "1.0f / sqrtf(2.0f + 0.5f * s)" },
  { id = "abs_gain", t = "fabsf(v)", d = "s / N", o = "v * d" }, { id = "energy_share", t = "v * v", d = "s + 0.1f", o = "v * v / d", inv = "1.0f / (s + 0.1f)", oi = "v * v * g" },
  { id = "half_shift", t = "v", d = "0.5f * s / N", o = "v - d" }, { id = "square_share", t = "fabsf(v)", d = "s * s / N + 0.5f", o = "v / d", inv = "1.0f / (s * s / N + 0.5f)" },
  { id = "relu_share", t = "(v > 0.0f ? v : 0.0f)", d = "s + 0.5f", o = "v / d", inv = "1.0f / (s + 0.5f)", slow = "fmaxf(v, 0.0f)" },
  { id = "eps_gate", t = "v * v", d = "sqrtf(s / N + eps)", o = "v * fabsf(v) / d", inv = "1.0f / sqrtf(s / N + eps)", oi = "v * fabsf(v) * g", eps = true }, { id = "eps_blend", t = "v * v", d = "sqrtf(s / N + eps)", o = "v + 0.5f * v / d", inv = "1.0f + 0.5f / sqrtf(s / N + eps)", oi = "v * g", eps = true },
  { id = "eps_energy", t = "v * v", d = "(s / N + eps)", o = "v * v / d", inv = "1.0f / (s / N + eps)", oi = "v * v * g", eps = true }, { id = "eps_abs", t = "v * v", d = "sqrtf(s / N + eps)", o = "fabsf(v) / d", inv = "1.0f / sqrtf(s / N + eps)", oi = "fabsf(v) * g", eps = true },
  { id = "eps_shift", t = "v * v", d = "sqrtf(s / N + eps)", o = "(v - 0.5f) / d", inv = "1.0f / sqrtf(s / N + eps)", oi = "(v - 0.5f) * g", eps = true }, { id = "eps_relu", t = "v * v", d = "sqrtf(s / N + eps)", o = "(v > 0.0f ? v : 0.0f) / d", inv = "1.0f / sqrtf(s / N + eps)", oi = "(v > 0.0f ? v : 0.0f) * g", eps = true },
  { id = "eps_root", t = "fabsf(v)", d = "sqrtf(s / N + eps)", o = "v / d", inv = "1.0f / sqrtf(s / N + eps)", eps = true }, { id = "eps_pos", t = "(v > 0.0f ? v * v : 0.0f)", d = "sqrtf(s / N + eps)", o = "v / d", inv = "1.0f / sqrtf(s / N + eps)", eps = true },
}
local function outer_text(st, x) -- element text for the output, with the slow d and with the fast factor g
  local slow = subst(st.o, x):gsub("%f[%w_]d%f[^%w_]", "(" .. st.d .. ")")
  local fast = st.inv and (st.oi and subst(st.oi, x) or subst("v * g", x)) or subst(st.o, x):gsub("%f[%w_]d%f[^%w_]", "g")
  return slow, fast, st.inv or st.d
end
local function with_count(t, n) return (t:gsub("%f[%w_]N%f[^%w_]", n)) end

for _, st in ipairs(STATS) do
  def("row_norm_" .. st.id, "norm", 2, function(r)
    local slow, _, g = outer_text(st, "x[i * n + j]")
    local _, fastp = outer_text(st, "p0[j]")
    local _, fasti = outer_text(st, "x[i * n + j]")
    local env = { t0 = subst(st.slow or st.t, "x[i * n + j]"), slow = with_count(slow, "n"), g = with_count(g, "n"), fast = fasti, fastp = fastp, ti = subst(st.t, "x[i * n + j]"), tp = subst(st.t, "p0[j]"), dd = with_count(st.d, "n"), od = subst(st.o, "x[i * n + j]") }
    local form = r:int(1, 3)
    local body = form == 1 and "for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t0; } for (int j = 0; j < n; j++) { y[i * n + j] = $slow; } }"
      or form == 2 and "for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t0; } float d = $dd; for (int j = 0; j < n; j++) { y[i * n + j] = $od; } }"
      or "for (int i = 0; i < m; i++) { for (int l = 0; l < n; l++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t0; } y[i * n + l] = $slow2; } }"
    env.slow2 = env.slow:gsub("i %* n %+ j", "i * n + l")
    local sizes = form == 3 and "m=16,n=96" or r:pick { "m=48,n=1024", "m=100,n=500" }
    return { sig = "x[m,n] -> y[m,n]" .. (st.eps and "; eps=" .. r:pick { "0.001", "0.01", "0.1" } or ""), sizes = sizes, body = fill(body, env),
      mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float s = 0.0f; for (int j = 0; j < n; j++) { s += $tp; } float g = $g; for (int j = 0; j < n; j++) { y[i * n + j] = $fastp; } }", env) },
      strong = { fill("for (int i = 0; i < m; i++) { float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { s += $ti; } float g = $g; for (int j = 0; j < n; j++) { y[i * n + j] = $fast; } }", env),
        fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { s += $tp; } float g = $g; for (int j = 0; j < n; j++) { q0[j] = $fastp; } }", env) } }
  end)
  -- over the channel axis of [b, c, s] (or [b, c, h, w]): position by position in the baseline
  def("channel_norm_" .. st.id, "channel_norm", st.eps and 6 or 4, function(r)
    local four = r:chance(0.5)
    local hw = four and "h * w" or "n"
    local xi = r:pick { "x[(b * c + l) * " .. (four and "h * w" or "n") .. " + j]" }
    local slow, fast, g = outer_text(st, xi)
    local _, fastp = outer_text(st, "p0[j]")
    local env = { x = xi, hw = hw, t0 = subst(st.slow or st.t, xi), slow = with_count(slow, "c"), g = with_count(g, "c"), t = subst(st.t, xi), y = xi:gsub("^x", "y"), fast = fast, tp = subst(st.t, "p0[j]"),
      fastb = fastp:gsub("%f[%w_]g%f[^%w_]", "acc[j]"), gacc = with_count(g, "c"), dd = with_count(st.d, "c"), od = subst(st.o, xi) }
    local body = r:chance(0.5) and "for (int b = 0; b < m; b++) { for (int j = 0; j < $hw; j++) { float s = 0.0f; for (int l = 0; l < c; l++) { s += $t0; } for (int l = 0; l < c; l++) { $y = $slow; } } }"
      or "for (int b = 0; b < m; b++) { for (int j = 0; j < $hw; j++) { float s = 0.0f; for (int l = 0; l < c; l++) { s += $t0; } float d = $dd; for (int l = 0; l < c; l++) { $y = $od; } } }"
    if four and r:chance(0.5) then
      local x4 = "x[((b * c + l) * h + i) * w + j]"
      local slow4 = outer_text(st, x4)
      body = "for (int b = 0; b < m; b++) { for (int i = 0; i < h; i++) { for (int j = 0; j < w; j++) { float s = 0.0f; for (int l = 0; l < c; l++) { s += $t4; } for (int l = 0; l < c; l++) { $y4 = $slow4; } } } }"
      env.t4, env.y4, env.slow4 = subst(st.slow or st.t, x4), x4:gsub("^x", "y"), with_count(slow4, "c")
    end
    env.decl = four and "int n = h * w;" or ""
    local block = fill([[$decl for (int b = 0; b < m; b++) { for (int j0 = 0; j0 < n; j0 += 64) {
      int wd = n - j0 < 64 ? n - j0 : 64;
      float acc[64] = {0.0f};
      for (int l = 0; l < c; l++) { const float *p0 = x + (b * c + l) * n + j0; for (int j = 0; j < wd; j++) { acc[j] += $tp; } }
      for (int j = 0; j < wd; j++) { float s = acc[j]; acc[j] = $gacc; }
      for (int l = 0; l < c; l++) { const float *p0 = x + (b * c + l) * n + j0; float *q0 = y + (b * c + l) * n + j0; for (int j = 0; j < wd; j++) { q0[j] = $fastb; } } } }]], env)
    return { sig = (four and "x[m,c,h,w] -> y[m,c,h,w]" or "x[m,c,n] -> y[m,c,n]") .. (st.eps and "; eps=" .. r:pick { "0.001", "0.01", "0.1" } or ""), sizes = four and r:pick { "m=2,c=32,h=32,w=32", "m=4,c=24,h=20,w=30" } or r:pick { "m=2,c=32,n=1024", "m=4,c=48,n=400" },
      body = fill(body, env), mild = { fill("for (int b = 0; b < m; b++) { for (int j = 0; j < $hw; j++) { float s = 0.0f; for (int l = 0; l < c; l++) { s += $t; } float g = $g; for (int l = 0; l < c; l++) { $y = $fast; } } }", env) },
      strong = { block, block } }
  end)
end

-- mean and variance norms: rows (40), instances (34), groups (35), batches (33), channels
def("layer_norm", "norm", 4, function(r)
  local affine = r:chance(0.6)
  local eps = r:pick { "1e-5f", "0.001f", "0.01f" }
  local o = affine and "* w[j] + b[j]" or ""
  local env = { eps = eps, o = o }
  return { sig = "x[m,n]" .. (affine and ", w[n], b[n]" or "") .. " -> y[m,n]", sizes = "m=48,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float a = 0.0f; for (int j = 0; j < n; j++) { a += x[i * n + j]; } a = a / n; float s = 0.0f; for (int j = 0; j < n; j++) { s += (x[i * n + j] - a) * (x[i * n + j] - a); } s = s / n; for (int j = 0; j < n; j++) { y[i * n + j] = (x[i * n + j] - a) / sqrtf(s + $eps) $o; } }", env),
    mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = 0.0f; for (int j = 0; j < n; j++) { a += p0[j]; } a /= n; float s = 0.0f; for (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } float g = 1.0f / sqrtf(s / n + $eps); for (int j = 0; j < n; j++) { y[i * n + j] = (p0[j] - a) * g $o; } }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; float a = 0.0f, s = 0.0f;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < n; j++) { a += p0[j]; } a /= n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } float g = 1.0f / sqrtf(s / n + $eps); for (int j = 0; j < n; j++) { q0[j] = (p0[j] - a) * g $o; } }", env) } }
end, 40)
def("instance_norm", "norm", 3, function(r)
  return { sig = "x[b,c,h,w] -> y[b,c,h,w]", sizes = "b=2,c=8,h=48,w=64",
    body = "for (int i = 0; i < b; i++) { for (int l = 0; l < c; l++) { float a = 0.0f; for (int j = 0; j < h * w; j++) { a += x[(i * c + l) * h * w + j]; } a /= h * w; float s = 0.0f; for (int j = 0; j < h * w; j++) { float d = x[(i * c + l) * h * w + j] - a; s += d * d; } s /= h * w; for (int j = 0; j < h * w; j++) { y[(i * c + l) * h * w + j] = (x[(i * c + l) * h * w + j] - a) / sqrtf(s + 1e-5f); } } }", mild = {},
    strong = { "int n = h * w; for (int i = 0; i < b * c; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; float a = 0.0f, s = 0.0f;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < n; j++) { a += p0[j]; } a /= n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } float g = 1.0f / sqrtf(s / n + 1e-5f); for (int j = 0; j < n; j++) { q0[j] = (p0[j] - a) * g; } }" } }
end, 34)
def("group_norm", "norm", 2, function(r)
  return { sig = "x[b,4*c,n], w[4*c], z[4*c] -> y[b,4*c,n]", sizes = "b=2,c=4,n=2048", odd = { c = 2 },
    body = "for (int i = 0; i < b; i++) { for (int l = 0; l < 4; l++) { float a = 0.0f; for (int p = 0; p < c; p++) { for (int j = 0; j < n; j++) { a += x[((i * 4 + l) * c + p) * n + j]; } } a /= c * n; float s = 0.0f; for (int p = 0; p < c; p++) { for (int j = 0; j < n; j++) { float d = x[((i * 4 + l) * c + p) * n + j] - a; s += d * d; } } s /= c * n; for (int p = 0; p < c; p++) { for (int j = 0; j < n; j++) { y[((i * 4 + l) * c + p) * n + j] = (x[((i * 4 + l) * c + p) * n + j] - a) / sqrtf(s + 1e-5f) * w[l * c + p] + z[l * c + p]; } } } }", mild = {},
    strong = { "int k = c * n; for (int i = 0; i < b * 4; i++) { const float *p0 = x + i * k; float a = 0.0f, s = 0.0f;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < k; j++) { a += p0[j]; } a /= k;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < k; j++) { float d = p0[j] - a; s += d * d; } float g = 1.0f / sqrtf(s / k + 1e-5f); for (int p = 0; p < c; p++) { float u = w[i % 4 * c + p] * g; float v = z[i % 4 * c + p] - a * u; for (int j = 0; j < n; j++) { y[i * k + p * n + j] = (p0[p * n + j] - a) * u + z[i % 4 * c + p]; } } }" } }
end, 35)
def("batch_norm", "norm", 2, function(r)
  return { sig = "x[b,c,n], w[c], z[c] -> y[b,c,n]", sizes = "b=4,c=16,n=800",
    body = "for (int l = 0; l < c; l++) { float a = 0.0f; for (int i = 0; i < b; i++) { for (int j = 0; j < n; j++) { a += x[(i * c + l) * n + j]; } } a /= b * n; float s = 0.0f; for (int i = 0; i < b; i++) { for (int j = 0; j < n; j++) { float d = x[(i * c + l) * n + j] - a; s += d * d; } } s /= b * n; for (int i = 0; i < b; i++) { for (int j = 0; j < n; j++) { y[(i * c + l) * n + j] = (x[(i * c + l) * n + j] - a) / sqrtf(s + 1e-5f) * w[l] + z[l]; } } }", mild = {},
    strong = { "for (int l = 0; l < c; l++) { float a = 0.0f, s = 0.0f; for (int i = 0; i < b; i++) { const float *p0 = x + (i * c + l) * n;\n#pragma omp simd reduction(+:a)\nfor (int j = 0; j < n; j++) { a += p0[j]; } } a /= b * n; for (int i = 0; i < b; i++) { const float *p0 = x + (i * c + l) * n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float d = p0[j] - a; s += d * d; } } float g = w[l] / sqrtf(s / (b * n) + 1e-5f); for (int i = 0; i < b; i++) { const float *p0 = x + (i * c + l) * n; float *q0 = y + (i * c + l) * n; for (int j = 0; j < n; j++) { q0[j] = (p0[j] - a) * g + z[l]; } } }" } }
end, 33)
def("channel_moments", "channel_norm", 6, function(r)
  local eps = r:pick { "1e-5f", "0.01f", "0.001f" }
  local gain = r:chance(0.4)
  local env = { eps = eps, w = gain and " * w[l]" or "" }
  return { sig = "x[b,c,n]" .. (gain and ", w[c]" or "") .. " -> y[b,c,n]", sizes = r:pick { "b=2,c=32,n=1000", "b=4,c=24,n=512" },
    body = fill("for (int i = 0; i < b; i++) { for (int j = 0; j < n; j++) { float a = 0.0f; for (int l = 0; l < c; l++) { a += x[(i * c + l) * n + j]; } a /= c; float s = 0.0f; for (int l = 0; l < c; l++) { float d = x[(i * c + l) * n + j] - a; s += d * d; } for (int l = 0; l < c; l++) { y[(i * c + l) * n + j] = (x[(i * c + l) * n + j] - a) / sqrtf(s / c + $eps)$w; } } }", env),
    mild = { fill("for (int i = 0; i < b; i++) { for (int j = 0; j < n; j++) { float a = 0.0f; for (int l = 0; l < c; l++) { a += x[(i * c + l) * n + j]; } a /= c; float s = 0.0f; for (int l = 0; l < c; l++) { float d = x[(i * c + l) * n + j] - a; s += d * d; } float g = 1.0f / sqrtf(s / c + $eps); for (int l = 0; l < c; l++) { y[(i * c + l) * n + j] = (x[(i * c + l) * n + j] - a) * g$w; } } }", env) },
    strong = { fill([[for (int i = 0; i < b; i++) { for (int j0 = 0; j0 < n; j0 += 64) {
      int wd = n - j0 < 64 ? n - j0 : 64;
      float a[64] = {0.0f}, s[64] = {0.0f};
      for (int l = 0; l < c; l++) { const float *p0 = x + (i * c + l) * n + j0; for (int j = 0; j < wd; j++) { a[j] += p0[j]; } }
      for (int j = 0; j < wd; j++) { a[j] /= c; }
      for (int l = 0; l < c; l++) { const float *p0 = x + (i * c + l) * n + j0; for (int j = 0; j < wd; j++) { float d = p0[j] - a[j]; s[j] += d * d; } }
      for (int j = 0; j < wd; j++) { s[j] = 1.0f / sqrtf(s[j] / c + $eps); }
      for (int l = 0; l < c; l++) { const float *p0 = x + (i * c + l) * n + j0; float *q0 = y + (i * c + l) * n + j0; for (int j = 0; j < wd; j++) { q0[j] = (p0[j] - a[j]) * s[j]$w; } } } }]], env) } }
end)
def("max_abs_norm", "norm", 3, function(r)
  local env = { d = r:pick { "s + 0.1f", "1.0f + s", "2.0f * s + 0.01f" } }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=48,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s = fmaxf(s, fabsf(x[i * n + j])); } for (int j = 0; j < n; j++) { y[i * n + j] = x[i * n + j] / ($d); } }", env),
    mild = { fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { float v = fabsf(x[i * n + j]); s = v > s ? v : s; } float g = 1.0f / ($d); for (int j = 0; j < n; j++) { y[i * n + j] = x[i * n + j] * g; } }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float s = 0.0f;\n#pragma omp simd reduction(max:s)\nfor (int j = 0; j < n; j++) { float v = fabsf(p0[j]); s = v > s ? v : s; } float g = 1.0f / ($d); for (int j = 0; j < n; j++) { y[i * n + j] = p0[j] * g; } }", env) } }
end)
def("range_norm", "norm", 3, function(r)
  local env = { d = r:pick { "b - a + 0.1f", "b - a + 1.0f" } }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=48,n=1024",
    body = fill("for (int i = 0; i < m; i++) { float a = x[i * n]; float b = x[i * n]; for (int j = 1; j < n; j++) { a = fminf(a, x[i * n + j]); b = fmaxf(b, x[i * n + j]); } for (int j = 0; j < n; j++) { y[i * n + j] = (x[i * n + j] - a) / ($d); } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float a = p0[0], b = p0[0];\n#pragma omp simd reduction(min:a) reduction(max:b)\nfor (int j = 0; j < n; j++) { float v = p0[j]; a = v < a ? v : a; b = v > b ? v : b; } float g = 1.0f / ($d); for (int j = 0; j < n; j++) { y[i * n + j] = (p0[j] - a) * g; } }", env) } }
end)

-- ── softmax-like: log-softmax (24), other bases, other shares, log-sum-exp, entropies ──
local top_slow = "float top = x[i * n]; for (int j = 1; j < n; j++) { top = fmaxf(top, x[i * n + j]); }"
local top_mild = "float top = p0[0]; for (int j = 1; j < n; j++) { top = p0[j] > top ? p0[j] : top; }"
local top_fast = "float top = p0[0];\n#pragma omp simd reduction(max:top)\nfor (int j = 0; j < n; j++) { top = p0[j] > top ? p0[j] : top; }"
local function soft(id, weight, o, l1)
  def("soft_" .. id, "softmax_like", weight, function(r)
    local c = o.draw and o.draw(r) or {}
    local function f(t) return fill(t, c) end
    local arg = f(o.arg or "v - top")
    local slow_e = "expf(" .. subst(arg, "x[i * n + j]") .. ")"
    local env = { top = top_slow, topm = top_mild, topf = top_fast, e = slow_e, out = f(o.out), extra = f(o.sum or "E"), ep = "expf(" .. subst(arg, "p0[j]") .. ")" }
    local function sum_of(e) return (f(o.sum or "E"):gsub("%f[%w]E%f[%W]", e)) end
    if o.scalar then -- y[i] from s and top (and other sums)
      return { sig = "x[m,n] -> y[m]", sizes = r:pick { "m=32,n=512", "m=50,n=300" }, tol = true,
        body = fill("for (int i = 0; i < m; i++) { $top float s = 0.0f; for (int j = 0; j < n; j++) { s += $s0; } y[i] = $out; }", { top = top_slow, s0 = subst(sum_of(slow_e), "x[i * n + j]"), out = env.out }),
        mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; $topm float s = 0.0f; for (int j = 0; j < n; j++) { s += $s1; } y[i] = $out; }", { topm = top_mild, s1 = subst(sum_of(env.ep), "p0[j]"), out = env.out }) },
        strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; $topf float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { $pre s += $s2; } y[i] = $out; }", { topf = top_fast, pre = I.exp(subst(arg, "p0[j]"), "e"), s2 = subst(sum_of("e"), "p0[j]"), out = env.out }) } }
    end
    local out = f(o.out) -- of v, e (exp of the element), s, top
    local needs = out:find("%f[%w]E%f[%W]") ~= nil
    local o_slow = subst(out:gsub("%f[%w]E%f[%W]", slow_e), "x[i * n + j]")
    local pre = f(o.pre or "float g = 1.0f / s;")
    local o_store = f(o.fast) -- of q0[j] (stored exponential) or v
    return { sig = "x[m,n] -> y[m,n]", sizes = r:pick { "m=32,n=512", "m=50,n=300" }, tol = true,
      body = fill("for (int i = 0; i < m; i++) { $top float s = $s0; for (int j = 0; j < n; j++) { s += $e; } for (int j = 0; j < n; j++) { y[i * n + j] = $o; } }", { top = top_slow, s0 = o.start or "0.0f", e = slow_e, o = o_slow }),
      mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; $topm float s = $s0; for (int j = 0; j < n; j++) { $keep } $pre for (int j = 0; j < n; j++) { q0[j] = $o; } }", { topm = top_mild, s0 = o.start or "0.0f",
        keep = needs and "q0[j] = " .. env.ep .. "; s += q0[j];" or "s += " .. env.ep .. ";", pre = pre, o = subst(o_store, "p0[j]") }) },
      strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; $topf float s = $s0;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { $pe $keep } $pre for (int j = 0; j < n; j++) { q0[j] = $o; } }", { topf = top_fast, s0 = o.start or "0.0f",
        pe = I.exp(subst(arg, "p0[j]"), "e"), keep = needs and "q0[j] = e; s += e;" or "s += e;", pre = pre, o = subst(o_store, "p0[j]") }) } }
  end, l1)
end
soft("log", 5, { out = "v - top - logf(s)", pre = "float g = top + logf(s);", fast = "v - g" }, 24)
soft("base_two", 4, { arg = "0.69314718f * (v - top)", out = "E / s", fast = "q0[j] * g" })
soft("plus_one", 4, { start = "1.0f", out = "E / s", fast = "q0[j] * g" })
soft("half", 3, { draw = function(r) return { c = r:pick { "0.5f", "0.25f", "2.0f" } } end, arg = "$c * (v - top)", out = "E / (s + 1.0f)", pre = "float g = 1.0f / (s + 1.0f);", fast = "q0[j] * g" })
soft("log_temp", 3, { draw = function(r) return { c = r:pick { "0.5f", "0.25f", "2.0f" } } end, arg = "$c * (v - top)", out = "$c * (v - top) - logf(s)", pre = "float g = $c * top + logf(s);", fast = "$c * v - g" })
soft("relative", 3, { out = "E * n / s", pre = "float g = n / s;", fast = "q0[j] * g" })
soft("log_sum_exp", 6, { scalar = true, out = "top + logf(s)" })
soft("log_mean_exp", 4, { scalar = true, out = "top + logf(s / n)" })
soft("lse_gap", 4, { scalar = true, out = "logf(s)" })
soft("peak_share", 3, { scalar = true, out = "1.0f / s" })
soft("exp_moment", 3, { scalar = true, sum = "E * v", out = "s" })
soft("lse_square", 3, { scalar = true, out = "(top + logf(s)) * (top + logf(s))" })
soft("effective", 2, { scalar = true, sum = "E * E", out = "1.0f / s" })
def("power_share", "softmax_like", 3, function(r)
  local t = r:pick { "v * v", "(v > 0.0f ? v * v : 0.0f)", "fabsf(v) * v * v" }
  local env = { t = subst(t, "x[i * n + j]"), tp = subst(t, "p0[j]") }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=48,n=900",
    body = fill("for (int i = 0; i < m; i++) { float s = 0.1f; for (int j = 0; j < n; j++) { s += $t; } for (int j = 0; j < n; j++) { y[i * n + j] = $t / s; } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float s = 0.1f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { s += $tp; } float g = 1.0f / s; for (int j = 0; j < n; j++) { y[i * n + j] = $tp * g; } }", env) } }
end)
return defs
