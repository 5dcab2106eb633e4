-- SPDX-License-Identifier: Apache-2.0
-- arrays.lua: everything else that loops over arrays: two arrays element by element, moves and gathers, windows and stencils,
-- pooling, pairwise distances, positions of extremes. What there is to learn: hoist what does not change in the loop, walk
-- memory in order, turn tests at borders into loop bounds, separate or slide windows, block transposes.
--
-- Absent: x * s with a scalar, x[i][j] * s[i], convolutions of any kind with several channels or learned two-dimensional kernels.

local I = require "corpus.idiom"
local fill, subst = I.fill, I.subst
local defs = {}
local function def(id, family, weight, make, l1) defs[#defs + 1] = { id = id, family = family, weight = weight, make = make, l1 = l1 } end

-- ── element by element with scalars, vectors, several arrays ──
-- X, Z: elements; s, t scalars; w[j] a vector along the row; u[i] one per row. slow recomputes what `hoist` computes once.
local PAIR = {
  { id = "axpby", sig = "x[m,n], z[m,n]", sc = "s=0.7, t=-0.3", slow = "s * X + t * Z" }, { id = "affine_div", sig = "x[m,n]", sc = "s=0.7, t=1.9", slow = "X / sqrtf(t * t + 1.0f) + s", hoist = "float g = 1.0f / sqrtf(t * t + 1.0f);", fast = "X * g + s" },
  { id = "shift_scale", sig = "x[m,n]", sc = "s=0.4, t=1.7", slow = "(X - s) / t - s", hoist = "float g = 1.0f / t;", fast = "(X - s) * g - s" }, { id = "scaled_square", sig = "x[m,n]", sc = "s=0.4", slow = "powf(X, 2.0f) * s + X", fast = "X * X * s + X" },
  { id = "exp_rate", sig = "x[m,n], z[m,n]", sc = "s=0.4", slow = "X * expf(-s) + Z * (1.0f - expf(-s))", hoist = "float g = expf(-s); float h = 1.0f - g;", fast = "X * g + Z * h" },
  { id = "column_affine", sig = "x[m,n], w[n], u[n]", slow = "X * w[j] + u[j]" }, { id = "column_ratio", sig = "x[m,n], w[n]", slow = "X / (1.0f + w[j] * w[j]) + X" },
  { id = "row_affine", sig = "x[m,n], w[m], u[m]", slow = "X * w[i] + u[i]", hoist_i = "float g = w[i]; float h = u[i];", fast = "X * g + h" },
  { id = "row_root", sig = "x[m,n], w[m]", slow = "X / sqrtf(w[i] * w[i] + 1.0f) - w[i]", hoist_i = "float g = 1.0f / sqrtf(w[i] * w[i] + 1.0f); float h = w[i];", fast = "X * g - h" },
  { id = "outer_sum", sig = "w[m], u[n]", slow = "w[i] + u[j]", hoist_i = "float g = w[i];", fast = "g + u[j]" }, { id = "outer_gap", sig = "w[m], u[n]", slow = "fabsf(w[i] - u[j])", hoist_i = "float g = w[i];", fast = "fabsf(g - u[j])" },
  { id = "outer_add", sig = "x[m,n], w[m], u[n]", sc = "s=0.3", slow = "X + s * w[i] * u[j]", hoist_i = "float g = s * w[i];", fast = "X + g * u[j]" },
  { id = "outer_power", sig = "w[m], u[n]", slow = "powf(w[i] + u[j], 2.0f)", hoist_i = "float g = w[i];", fast = "(g + u[j]) * (g + u[j])" },
  { id = "blend", sig = "x[m,n], z[m,n], w[n]", slow = "w[j] * X + (1.0f - w[j]) * Z", fast = "Z + w[j] * (X - Z)" }, { id = "relu_add", sig = "x[m,n], z[m,n]", slow = "fmaxf(X + Z, 0.0f)", hoist = "", pre = "float v = X + Z;", fast = "v > 0.0f ? v : 0.0f" },
  { id = "pair_max", sig = "x[m,n], z[m,n]", slow = "fmaxf(X, Z)", pre = "float v = X; float q = Z;", fast = "v > q ? v : q" }, { id = "pair_clip", sig = "x[m,n], w[n], u[n]", slow = "fminf(fmaxf(X, w[j] - 1.0f), u[j] + 1.0f)", pre = "float lo = w[j] - 1.0f; float hi = u[j] + 1.0f; float v = X; v = v < lo ? lo : v;", fast = "v > hi ? hi : v" },
  { id = "bounded_add", sig = "x[m,n], z[m,n]", sc = "s=0.5", slow = "fminf(fmaxf(X + Z, -s), s)", pre = "float v = X + Z; v = v < -s ? -s : v;", fast = "v > s ? s : v" }, { id = "bounded_step", sig = "x[m,n], z[m,n]", sc = "s=0.25", slow = "X + fmaxf(-s, fminf(s, Z))", pre = "float v = Z; v = v > s ? s : v; v = v < -s ? -s : v;", fast = "X + v" },
  { id = "gate", sig = "x[m,n], z[m,n]", slow = "X / (1.0f + expf(-Z))", tol = true, exp = "-Z", high = true, fast = "X / (1.0f + e)" }, { id = "swiglu", sig = "x[m,n], z[m,n]", slow = "Z * X / (1.0f + expf(-X))", tol = true, exp = "-X", high = true, fast = "Z * X / (1.0f + e)" },
  { id = "reglu", sig = "x[m,n], z[m,n]", slow = "X * fmaxf(Z, 0.0f)", pre = "float v = Z;", fast = "v > 0.0f ? X * v : 0.0f" }, { id = "hypot", sig = "x[m,n], z[m,n]", slow = "powf(X * X + Z * Z, 0.5f)", fast = "sqrtf(X * X + Z * Z)" },
  { id = "ratio_eps", sig = "x[m,n], z[m,n]", slow = "X / sqrtf(Z * Z + 0.01f)" }, { id = "momentum", sig = "x[m,n], z[m,n]", sc = "s=0.9, t=0.01", slow = "X - t * (s * Z + (1.0f - s) * X)", hoist = "float g = 1.0f - t * (1.0f - s); float h = t * s;", fast = "g * X - h * Z" },
  { id = "masked_fill", sig = "x[m,n], k:u8[m,n]", sc = "s=-2.5", slow = "(k[i * n + j] ? X : s)", branch = "if (k[i * n + j]) { Y = X; } else { Y = s; }" }, { id = "where_pos", sig = "x[m,n], z[m,n]", slow = "(X > Z ? X - Z : 0.5f * Z)", branch = "if (X > Z) { Y = X - Z; } else { Y = 0.5f * Z; }" },
  { id = "log_gap", sig = "x[m,n], z[m,n]", slow = "logf((1.0f + X * X) / (1.0f + Z * Z))", tol = true, log = "(1.0f + X * X) / (1.0f + Z * Z)", fast = "g" },
  { id = "log_two", sig = "x[m,n], z[m,n]", slow = "logf(1.0f + X * X) - logf(1.0f + Z * Z)", tol = true, log = "(1.0f + X * X) / (1.0f + Z * Z)", fast = "g" },
  { id = "rbf_pair", sig = "x[m,n], z[m,n]", slow = "expf(-(X - Z) * (X - Z))", tol = true, exp = "-(X - Z) * (X - Z)", fast = "e" }, { id = "poly_two", sig = "x[m,n], z[m,n]", slow = "powf(X, 2.0f) + 2.0f * X * Z + powf(Z, 2.0f)", fast = "(X + Z) * (X + Z)" },
}
for _, p in ipairs(PAIR) do
  def("pair_" .. p.id, "broadcast", p.tol and 2 or 2, function(r)
    local function at(t) return (t:gsub("%f[%w_]X%f[^%w_]", "x[i * n + j]"):gsub("%f[%w_]Z%f[^%w_]", "z[i * n + j]"):gsub("%f[%w_]Y%f[^%w_]", "y[i * n + j]")) end
    local fast = p.fast or p.slow
    local pre = p.pre or (p.exp and I.exp(p.exp, "e", p.high)) or (p.log and I.log(p.log, "g")) or ""
    local swapped = r:chance(0.35)
    local env = { slow = at(p.slow), fast = at(fast), pre = at(pre), hoist = p.hoist or "", hi = p.hoist_i or "" }
    local inner = (p.branch and r:chance(0.7)) and at(p.branch) or fill("y[i * n + j] = $slow;", env)
    local base = swapped and "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { " .. inner .. " } }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { " .. inner .. " } }"
    local strong = { fill("$hoist for (int i = 0; i < m; i++) { $hi for (int j = 0; j < n; j++) { $pre y[i * n + j] = $fast; } }", env) }
    if p.sig:find("x%[m,n%]") and not p.sig:find("k:") then
      local function ptr(t) return (t:gsub("x%[i %* n %+ j%]", "p0[j]"):gsub("z%[i %* n %+ j%]", "z0[j]")) end
      strong[2] = fill("$hoist for (int i = 0; i < m; i++) { $hi const float *p0 = x + i * n; $zp float *q0 = y + i * n; for (int j = 0; j < n; j++) { $pre q0[j] = $fast; } }", { hoist = env.hoist, hi = env.hi, pre = ptr(env.pre), fast = ptr(env.fast), zp = p.sig:find("z%[m,n%]") and "const float *z0 = z + i * n;" or "" })
    end
    if not p.sig:find("w%[") and not p.sig:find("u%[") then
      local function flat(t) return (t:gsub("%[i %* n %+ j%]", "[i]")) end
      strong[#strong + 1] = fill("$hoist for (int i = 0; i < m * n; i++) { $pre y[i] = $fast; }", { hoist = env.hoist, pre = flat(env.pre), fast = flat(env.fast) })
    end
    return { sig = p.sig .. " -> y[m,n]" .. (p.sc and "; " .. p.sc or ""), sizes = r:pick { "m=128,n=400", "m=200,n=256", "m=100,n=500" }, body = base,
      mild = swapped and { fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + j] = $slow; } }", env) } or {}, strong = strong, tol = p.tol }
  end)
end
def("complex_product", "broadcast", 2, function(r)
  local conj = r:chance(0.5)
  local env = { p = conj and "+" or "-", q = conj and "-" or "+" }
  return { sig = "a[n], b[n], c[n], d[n] -> x[n], y[n]", sizes = "n=20000", body = fill("for (int i = 0; i < n; i++) { x[i] = a[i] * c[i] $p b[i] * d[i]; } for (int i = 0; i < n; i++) { y[i] = a[i] * d[i] $q b[i] * c[i]; }", env), mild = {},
    strong = { fill("for (int i = 0; i < n; i++) { float u = a[i], v = b[i], p = c[i], q = d[i]; x[i] = u * p $p v * q; y[i] = u * q $q v * p; }", env) } }
end)

-- ── moves ──
def("transpose", "movement", 4, function(r)
  local o = r:pick { "", " * 2.0f", " + 1.0f" }
  local env = { o = o }
  return { sig = "x[m,n] -> y[n,m]", sizes = r:pick { "m=300,n=300", "m=400,n=250" }, body = fill(r:pick { "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[j * m + i] = x[i * n + j]$o; } }", "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { y[j * m + i] = x[i * n + j]$o; } }" }, env), mild = {},
    strong = { fill("for (int i0 = 0; i0 < m; i0 += 16) { for (int j0 = 0; j0 < n; j0 += 16) { int h = i0 + 16 < m ? i0 + 16 : m; int w = j0 + 16 < n ? j0 + 16 : n; for (int j = j0; j < w; j++) { for (int i = i0; i < h; i++) { y[j * m + i] = x[i * n + j]$o; } } } }", env) } }
end)
def("transpose_planes", "movement", 2, function(r)
  return { sig = "x[c,m,n] -> y[m,n,c]", sizes = "c=16,m=40,n=60", body = "for (int l = 0; l < c; l++) { for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[(i * n + j) * c + l] = x[(l * m + i) * n + j]; } } }", mild = {},
    strong = { "int k = m * n; for (int i = 0; i < k; i++) { for (int l = 0; l < c; l++) { y[i * c + l] = x[l * k + i]; } }" } }
end)
def("gather_rows", "movement", 3, function(r)
  local o = r:pick { "v", "2.0f * v", "v + w[j]" }
  local env = { s = subst(o, "x[t[i] * n + j]"), f = subst(o, "p0[j]") }
  return { sig = "x[k,n], t:i32<k[m]" .. (o:find "w" and ", w[n]" or "") .. " -> y[m,n]", sizes = "k=100,m=200,n=256", body = fill("for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { y[i * n + j] = $s; } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + t[i] * n; for (int j = 0; j < n; j++) { y[i * n + j] = $f; } }", env) } }
end)
def("one_hot_rows", "movement", 3, function(r)
  return { sig = "x[k,n], t:i32<k[m] -> y[m,n]", sizes = "k=24,m=64,n=64", body = r:pick { "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int l = 0; l < k; l++) { if (t[i] == l) { s += x[l * n + j]; } } y[i * n + j] = s; } }", "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + j] = 0.0f; for (int l = 0; l < k; l++) { y[i * n + j] += (l == t[i] ? 1.0f : 0.0f) * x[l * n + j]; } } }" }, mild = {},
    strong = { "for (int i = 0; i < m; i++) { const float *p0 = x + t[i] * n; for (int j = 0; j < n; j++) { y[i * n + j] = p0[j]; } }" } }
end)
def("bag_of_rows", "movement", 3, function(r)
  local o = r:pick { "s", "s / k" }
  return { sig = "x[l,n], t:i32<l[m,k] -> y[m,n]", sizes = "l=64,m=64,k=8,n=96", body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += x[t[i * k + p] * n + j]; } y[i * n + j] = $o; } }", { o = o }), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { float *q0 = y + i * n; for (int j = 0; j < n; j++) { q0[j] = 0.0f; } for (int p = 0; p < k; p++) { const float *p0 = x + t[i * k + p] * n; for (int j = 0; j < n; j++) { q0[j] += p0[j]; } } $f }", { f = o == "s" and "" or "for (int j = 0; j < n; j++) { q0[j] /= k; }" }) } }
end)
def("roll_rows", "movement", 2, function(r)
  local k = r:pick { 1, 3, 7 }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=100,n=400", odd = { n = 9 }, body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + (j + $k) % n] = x[i * n + j]; } }", { k = k }), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; for (int j = 0; j < n - $k; j++) { q0[j + $k] = p0[j]; } for (int j = 0; j < $k; j++) { q0[j] = p0[n - $k + j]; } }", { k = k }) } }
end)
def("flip_rows", "movement", 2, function(r)
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=200,n=300", body = "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { y[i * n + j] = x[(m - 1 - i) * n + j]; } }", mild = {},
    strong = { "for (int i = 0; i < m; i++) { const float *p0 = x + (m - 1 - i) * n; float *q0 = y + i * n; for (int j = 0; j < n; j++) { q0[j] = p0[j]; } }" } }
end)
def("pad_rows", "movement", 2, function(r)
  local k = r:pick { 2, 4 }
  return { sig = fill("x[m,n] -> y[m,n+2*$k]", { k = k }), sizes = "m=128,n=256", body = fill("int w = n + 2 * $k; for (int i = 0; i < m; i++) { for (int j = 0; j < w; j++) { int p = j - $k; if (p >= 0 && p < n) { y[i * w + j] = x[i * n + p]; } else { y[i * w + j] = 0.0f; } } }", { k = k }), mild = {},
    strong = { fill("int w = n + 2 * $k; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * w; for (int j = 0; j < $k; j++) { q0[j] = 0.0f; q0[n + $k + j] = 0.0f; } for (int j = 0; j < n; j++) { q0[$k + j] = p0[j]; } }", { k = k }) } }
end)
def("upsample", "movement", 2, function(r)
  return { sig = "x[m,n] -> y[2*m,2*n]", sizes = "m=80,n=100", body = "for (int i = 0; i < 2 * m; i++) { for (int j = 0; j < 2 * n; j++) { y[i * 2 * n + j] = x[i / 2 * n + j / 2]; } }", mild = {},
    strong = { "for (int i = 0; i < m; i++) { float *q0 = y + 4 * i * n; float *q1 = q0 + 2 * n; for (int j = 0; j < n; j++) { float v = x[i * n + j]; q0[2 * j] = v; q0[2 * j + 1] = v; q1[2 * j] = v; q1[2 * j + 1] = v; } }" } }
end)

-- ── windows, stencils, pooling ──
local W3 = { { "0.25f", "0.5f", "0.25f" }, { "-1.0f", "2.0f", "-1.0f" }, { "0.5f", "0.0f", "-0.5f" }, { "1.0f", "-2.0f", "1.0f" } }
def("stencil_line", "stencil", 3, function(r)
  local w = r:pick(W3)
  local env = { a = w[1], b = w[2], c = w[3] }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=100,n=400", body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float l = 0.0f; float r = 0.0f; if (j > 0) { l = x[i * n + j - 1]; } if (j < n - 1) { r = x[i * n + j + 1]; } y[i * n + j] = $a * l + $b * x[i * n + j] + $c * r; } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; q0[0] = $b * p0[0] + $c * p0[1]; for (int j = 1; j < n - 1; j++) { q0[j] = $a * p0[j - 1] + $b * p0[j] + $c * p0[j + 1]; } q0[n - 1] = $a * p0[n - 2] + $b * p0[n - 1]; }", env) } }
end)
def("stencil_cross", "stencil", 3, function(r)
  local e = r:pick { "x[(i - 1) * n + j] + x[(i + 1) * n + j] + x[i * n + j - 1] + x[i * n + j + 1] - 4.0f * x[i * n + j]", "0.2f * (x[(i - 1) * n + j] + x[(i + 1) * n + j] + x[i * n + j - 1] + x[i * n + j + 1] + x[i * n + j])", "fabsf(x[i * n + j + 1] - x[i * n + j - 1]) + fabsf(x[(i + 1) * n + j] - x[(i - 1) * n + j])" }
  local f = e:gsub("x%[%(i %- 1%) %* n %+ j%]", "u0[j]"):gsub("x%[%(i %+ 1%) %* n %+ j%]", "d0[j]"):gsub("x%[i %* n %+ j %- 1%]", "p0[j - 1]"):gsub("x%[i %* n %+ j %+ 1%]", "p0[j + 1]"):gsub("x%[i %* n %+ j%]", "p0[j]")
  local env = { e = e, f = f }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=160,n=250", body = fill(r:pick { "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { if (i == 0 || j == 0 || i == m - 1 || j == n - 1) { y[i * n + j] = 0.0f; } else { y[i * n + j] = $e; } } }", "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + j] = 0.0f; if (i > 0 && j > 0 && i < m - 1 && j < n - 1) { y[i * n + j] = $e; } } }" }, env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; if (i == 0 || i == m - 1) { for (int j = 0; j < n; j++) { q0[j] = 0.0f; } } else { const float *u0 = p0 - n; const float *d0 = p0 + n; q0[0] = 0.0f; for (int j = 1; j < n - 1; j++) { q0[j] = $f; } q0[n - 1] = 0.0f; } }", env) } }
end)
def("window_gap", "stencil", 3, function(r) -- a pattern slid along a row: not a convolution
  local t = r:pick { "fabsf(x[i * n + j + p] - w[p])", "(x[i * n + j + p] - w[p]) * (x[i * n + j + p] - w[p])" }
  local env = { t = t, f = t:gsub("x%[i %* n %+ j %+ p%]", "p0[j + p]"):gsub("w%[p%]", "v") }
  return { sig = "x[m,n], w[k] -> y[m,n-k+1]", sizes = "m=32,n=300,k=8", odd = { n = 9, k = 3 }, body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j <= n - k; j++) { float s = 0.0f; for (int p = 0; p < k; p++) { s += $t; } y[i * (n - k + 1) + j] = s; } }", env), mild = {},
    strong = { fill("int l = n - k + 1; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * l; for (int j = 0; j < l; j++) { q0[j] = 0.0f; } for (int p = 0; p < k; p++) { float v = w[p]; for (int j = 0; j < l; j++) { q0[j] += $f; } } }", env) } }
end)
def("dilate_row", "stencil", 2, function(r)
  local big = r:chance(0.5)
  local env = { f = big and "fmaxf" or "fminf", s = big and ">" or "<", st = big and "-1e30f" or "1e30f", o = big and "+" or "-" }
  return { sig = "x[m,n], w[k] -> y[m,n-k+1]", sizes = "m=32,n=300,k=6", odd = { n = 9, k = 3 }, body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j <= n - k; j++) { float s = $st; for (int p = 0; p < k; p++) { s = $f(s, x[i * n + j + p] $o w[p]); } y[i * (n - k + 1) + j] = s; } }", env), mild = {},
    strong = { fill("int l = n - k + 1; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * l; for (int j = 0; j < l; j++) { q0[j] = $st; } for (int p = 0; p < k; p++) { float v = w[p]; for (int j = 0; j < l; j++) { float g = p0[j + p] $o v; q0[j] = g $s q0[j] ? g : q0[j]; } } }", env) } }
end)
-- pooling: kernel k, stride k or 1; op max/min/mean/sum of squares
local POOLS = { { id = "max", st = "-1e30f", step = "s = fmaxf(s, v);", fast = "s = v > s ? v : s;", o = "s" }, { id = "min", st = "1e30f", step = "s = fminf(s, v);", fast = "s = v < s ? v : s;", o = "s" },
  { id = "average", st = "0.0f", step = "s += v;", fast = "s += v;", o = "s / K" }, { id = "square", st = "0.0f", step = "s += v * v;", fast = "s += v * v;", o = "sqrtf(s)" }, { id = "abs_average", st = "0.0f", step = "s += fabsf(v);", fast = "s += fabsf(v);", o = "s / K" } }
for _, p in ipairs(POOLS) do
  local ids = { max = { 41, 42 }, average = { 44, 45 } }
  def("pool_line_" .. p.id, "pooling", 2, function(r)
    local k = r:pick { 4, 8, 3 }
    local slide = r:chance(0.5)
    local env = { k = k, st = p.st, o = p.o:gsub("K", k .. ".0f"), len = slide and fill("(n - $k + 1)", { k = k }) or fill("(n / $k)", { k = k }), hop = slide and "j" or fill("j * $k", { k = k }) }
    env.step = subst(p.step, fill("x[i * n + $hop + p]", env)); env.fast = subst(p.fast, "v")
    local acc = p.st == "0.0f"
    local strong
    if slide and acc then
      strong = fill("int l = n - $k + 1; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * l; for (int j = 0; j < l; j++) { float s = 0.0f; for (int p = 0; p < $k; p++) { float v = p0[j + p]; $fast } q0[j] = $o; } }", env)
    else
      strong = fill("int l = $len; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * l; for (int j = 0; j < l; j++) { float s = $st; for (int p = 0; p < $k; p++) { float v = p0[$hop + p]; $fast } q0[j] = $o; } }", env)
    end
    return { sig = "x[m,n] -> y[m," .. (slide and fill("n-$k+1", { k = k }) or fill("n/$k", { k = k })) .. "]", sizes = "m=64,n=400", odd = { n = 11 },
      body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < $len; j++) { float s = $st; for (int p = 0; p < $k; p++) { $step } y[i * $len + j] = $o; } }", env), mild = {}, strong = { strong } }
  end, ids[p.id] and ids[p.id][1])
  def("pool_plane_" .. p.id, "pooling", 3, function(r)
    local k = r:pick { 2, 3, 4 }
    local slide = r:chance(0.4)
    local env = { k = k, st = p.st, o = p.o:gsub("K", (k * k) .. ".0f"), oh = slide and fill("(h - $k + 1)", { k = k }) or fill("(h / $k)", { k = k }), ow = slide and fill("(w - $k + 1)", { k = k }) or fill("(w / $k)", { k = k }), sy = slide and "i" or fill("i * $k", { k = k }), sx = slide and "j" or fill("j * $k", { k = k }), fast = p.fast }
    env.step = subst(p.step, fill("x[b * h * w + ($sy + p) * w + $sx + q]", env))
    return { sig = "x[c,h,w] -> y[c," .. env.oh:sub(2, -2):gsub(" ", "") .. "," .. env.ow:sub(2, -2):gsub(" ", "") .. "]", sizes = "c=4,h=60,w=72", odd = { h = 9, w = 11 },
      body = fill("for (int b = 0; b < c; b++) { for (int i = 0; i < $oh; i++) { for (int j = 0; j < $ow; j++) { float s = $st; for (int p = 0; p < $k; p++) { for (int q = 0; q < $k; q++) { $step } } y[(b * $oh + i) * $ow + j] = $o; } } }", env), mild = {},
      strong = { fill("int u = $oh; int l = $ow; for (int b = 0; b < c; b++) { for (int i = 0; i < u; i++) { float *q0 = y + (b * u + i) * l; for (int j = 0; j < l; j++) { q0[j] = $st; } for (int p = 0; p < $k; p++) { const float *p0 = x + (b * h + $sy + p) * w; for (int j = 0; j < l; j++) { float s = q0[j]; for (int q = 0; q < $k; q++) { float v = p0[$sx + q]; $fast } q0[j] = s; } } $fin } }",
        { oh = env.oh, ow = env.ow, st = env.st, k = k, sy = env.sy, sx = env.sx, fast = env.fast, fin = p.o == "s" and "" or fill("for (int j = 0; j < l; j++) { float s = q0[j]; q0[j] = $o; }", env) }) } }
  end, ids[p.id] and ids[p.id][2])
end

-- ── pairwise ──
def("pairwise_rows", "pairwise", 4, function(r)
  local t = r:pick { "(A - B) * (A - B)", "fabsf(A - B)", "(A < B ? A : B)", "A * B / (1.0f + fabsf(A))" }
  local o = r:pick { "s", "sqrtf(s + 0.01f)", "1.0f / (1.0f + s * s)" }
  local function ab(a, b) return (t:gsub("A", a):gsub("B", b)) end
  if t:find("[<*] B", 1, false) and o:find("sqrt") and not t:find("%- B") then o = "s" end
  local env = { t = ab("x[i * d + p]", "z[j * d + p]"), f = ab("p0[p]", "q0[p]"), o = o }
  return { sig = "x[m,d], z[n,d] -> y[m,n]", sizes = "m=40,n=48,d=40", body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int p = 0; p < d; p++) { s += $t; } y[i * n + j] = $o; } }", env),
    mild = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * d; for (int j = 0; j < n; j++) { const float *q0 = z + j * d; float s = 0.0f; for (int p = 0; p < d; p++) { s += $f; } y[i * n + j] = $o; } }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * d; for (int j = 0; j < n; j++) { const float *q0 = z + j * d; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int p = 0; p < d; p++) { s += $f; } y[i * n + j] = $o; } }", env) } }
end)
def("kernel_row", "pairwise", 3, function(r)
  local ex = I.exp("-(v - z[j]) * (v - z[j])", "e")
  return { sig = "x[m], z[n], w[n] -> y[m]", sizes = "m=64,n=300", tol = true, body = "for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += w[j] * expf(-(x[i] - z[j]) * (x[i] - z[j])); } y[i] = s; }", mild = {},
    strong = { "for (int i = 0; i < m; i++) { float v = x[i]; float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { " .. ex .. " s += w[j] * e; } y[i] = s; }" } }
end)
def("nearest", "pairwise", 3, function(r)
  return { sig = "x[m], z[n] -> y[m]", sizes = "m=100,n=400", body = "for (int i = 0; i < m; i++) { float s = 1e30f; for (int j = 0; j < n; j++) { s = fminf(s, fabsf(x[i] - z[j])); } y[i] = s; }", mild = {},
    strong = { "for (int i = 0; i < m; i++) { float v = x[i]; float s = 1e30f;\n#pragma omp simd reduction(min:s)\nfor (int j = 0; j < n; j++) { float g = fabsf(v - z[j]); s = g < s ? g : s; } y[i] = s; }" } }
end)

-- ── positions ──
for _, e in ipairs { { "argmax", ">", "v", 51 }, { "argmin", "<", "v", 52 }, { "argmax_abs", ">", "fabsf(v)" }, { "argmin_gap", "<", "fabsf(v - 1.0f)" } } do
  def("position_" .. e[1], "position", 3, function(r)
    local label = r:pick { "i32", "i64" }
    local env = { sg = e[2], t = subst(e[3], "x[(b * m + i) * n + j]"), t0 = subst(e[3], "x[b * m * n + j]"), tp = subst(e[3], "p0[j]") }
    return { sig = "x[c,m,n] -> y:" .. label .. "[c,n]", sizes = "c=4,m=64,n=256", body = fill("for (int b = 0; b < c; b++) { for (int j = 0; j < n; j++) { float s = $t0; int k = 0; for (int i = 1; i < m; i++) { if ($t $sg s) { s = $t; k = i; } } y[b * n + j] = k; } }", env), mild = {},
      strong = { fill("for (int b = 0; b < c; b++) { for (int j0 = 0; j0 < n; j0 += 64) { int l = n - j0 < 64 ? n - j0 : 64; float s[64]; int k[64]; const float *p0 = x + b * m * n + j0; for (int j = 0; j < l; j++) { s[j] = $tp; k[j] = 0; } for (int i = 1; i < m; i++) { p0 += n; for (int j = 0; j < l; j++) { float v = $tp; k[j] = v $sg s[j] ? i : k[j]; s[j] = v $sg s[j] ? v : s[j]; } } for (int j = 0; j < l; j++) { y[b * n + j0 + j] = k[j]; } } }", env) } }
  end, e[4])
end
def("count_above", "position", 3, function(r)
  local c = r:pick { "x[i * n + j] > w[i]", "x[i * n + j] * x[i * n + j] < w[i]", "fabsf(x[i * n + j]) > w[i]" }
  local env = { c = c, f = c:gsub("x%[i %* n %+ j%]", "p0[j]"):gsub("w%[i%]", "v") }
  return { sig = "x[m,n], w[m] -> y:i32[m]", sizes = "m=100,n=500", body = fill("for (int i = 0; i < m; i++) { y[i] = 0; for (int j = 0; j < n; j++) { if ($c) { y[i] = y[i] + 1; } } }", env), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float v = w[i]; int s = 0; for (int j = 0; j < n; j++) { s += $f; } y[i] = s; }", env) } }
end)
def("first_above", "position", 2, function(r)
  local c = r:pick { "1.5f", "2.0f", "1.0f" }
  return { sig = "x[m,n] -> y:i32[m]", sizes = "m=400,n=300", body = fill("for (int i = 0; i < m; i++) { int k = n; for (int j = n - 1; j >= 0; j--) { if (x[i * n + j] > $c) { k = j; } } y[i] = k; }", { c = c }), mild = {},
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; int k = 0; while (k < n && !(p0[k] > $c)) { k++; } y[i] = k; }", { c = c }) } }
end)
return defs
