-- SPDX-License-Identifier: Apache-2.0
-- losses.lua: everything to one number. What there is to learn: the result is written once through a local sum, the sum runs in
-- several chains, logs and exponentials vectorise only as polynomials, a row's maximum is a select, a target's logit is read once.
--
-- Absent: mean squared error, cross entropy, Huber (smooth L1), KL divergence.

local I = require "corpus.idiom"
local fill = I.fill
local defs = {}
local function def(id, family, weight, make, l1) defs[#defs + 1] = { id = id, family = family, weight = weight, make = make, l1 = l1 } end
local function pt(t, p, q) return (t:gsub("%f[%w_]P%f[^%w_]", p):gsub("%f[%w_]T%f[^%w_]", q)) end

-- Two arrays, element by element: P prediction, T target. pos: both positive; log/exp: argument of the polynomial.
local PAIRS = {
  { id = "absolute", t = "fabsf(P - T)" }, { id = "hinge_soft", t = "(1.0f - P * T > 0.0f ? 1.0f - P * T : 0.0f)", slow = "fmaxf(1.0f - P * T, 0.0f)" },
  { id = "square_hinge", t = "(P * T < 1.0f ? (1.0f - P * T) * (1.0f - P * T) : 0.0f)", slow = "powf(fmaxf(1.0f - P * T, 0.0f), 2.0f)" },
  { id = "quantile", t = "(P < T ? 0.7f * (T - P) : 0.3f * (P - T))", slow = "fmaxf(0.7f * (T - P), 0.3f * (P - T))" },
  { id = "charbonnier", t = "sqrtf((P - T) * (P - T) + 0.01f)" }, { id = "insensitive", t = "(fabsf(P - T) > 0.1f ? fabsf(P - T) - 0.1f : 0.0f)", slow = "fmaxf(fabsf(P - T) - 0.1f, 0.0f)" },
  { id = "quartic", t = "(P - T) * (P - T) * (P - T) * (P - T)", slow = "powf(P - T, 4.0f)" }, { id = "relative", t = "fabsf(P - T) / (1.0f + fabsf(T))" },
  { id = "cauchy_ratio", t = "(P - T) * (P - T) / (1.0f + (P - T) * (P - T))" }, { id = "over", t = "(P > T ? (P - T) * (P - T) : 0.0f)", slow = "fmaxf(P - T, 0.0f) * fmaxf(P - T, 0.0f)" },
  { id = "bias_gap", t = "P - T" }, { id = "product", t = "P * T" }, { id = "square_of_sum", t = "(P + T) * (P + T)" },
  { id = "cauchy", t = "logf(1.0f + (P - T) * (P - T))", log = "1.0f + (P - T) * (P - T)", val = "g" },
  { id = "welsch", t = "1.0f - expf(-(P - T) * (P - T))", exp = "-(P - T) * (P - T)", val = "1.0f - e" },
  { id = "poisson", small = true, t = "expf(P) - T * P", exp = "P", val = "e - T * P" }, { id = "exponential", small = true, t = "expf(-P * T)", exp = "-P * T", val = "e" },
  { id = "soft_labels", t = "-T * logf(P)", log = "P", val = "-T * g", pos = true, heavy = 4 }, { id = "log_likelihood_gap", t = "(logf(T) - logf(P)) * (logf(T) - logf(P))", log2 = true, val = "g * g", pos = true, heavy = 3 },
  { id = "itakura", t = "T / P - logf(T / P) - 1.0f", log = "T / P", val = "T / P - g - 1.0f", pos = true, heavy = 2 },
  { id = "poisson_log", t = "P - T * logf(P)", log = "P", val = "P - T * g", pos = true, heavy = 4 }, { id = "gamma_loss", t = "logf(P) + T / P", log = "P", val = "g + T / P", pos = true, heavy = 3 },
  { id = "jensen_half", t = "T * logf(2.0f * T / (P + T))", log = "2.0f * T / (P + T)", val = "T * g", pos = true, heavy = 5 },
  { id = "triangular", t = "(P - T) * (P - T) / (P + T)", pos = true }, { id = "hellinger", t = "(sqrtf(P) - sqrtf(T)) * (sqrtf(P) - sqrtf(T))", slow = "powf(sqrtf(P) - sqrtf(T), 2.0f)", pos = true },
  { id = "chi_square", t = "(P - T) * (P - T) / P", pos = true }, { id = "reverse_entropy", t = "P * logf(P) - P * T", log = "P", val = "P * g - P * T", pos = true, heavy = 4 },
  { id = "entropy_gap", t = "T * logf(T) - P * logf(P)", log2 = "sep", val = "T * gt - P * g", pos = true, heavy = 4 },
  { id = "log_plus", t = "P * (logf(P) + 0.5f * T)", log = "P", val = "P * (g + 0.5f * T)", pos = true, heavy = 4 },
  { id = "symmetric_log", t = "(T - P) * (logf(T) - logf(P))", log = "T / P", val = "(T - P) * g", pos = true, heavy = 8 }, { id = "shifted_log_ratio", t = "(0.5f + T) * (logf(T) - logf(P))", log = "T / P", val = "(0.5f + T) * g", pos = true, heavy = 8 },
  { id = "square_log_ratio", t = "T * T * (logf(T) - logf(P))", log = "T / P", val = "T * T * g", pos = true, heavy = 8 }, { id = "abs_log_ratio", t = "fabsf(logf(T) - logf(P))", log = "T / P", val = "fabsf(g)", pos = true, heavy = 6 },
  { id = "product_log_ratio", t = "P * T * (logf(P) - logf(T))", log = "P / T", val = "P * T * g", pos = true, heavy = 8 }, { id = "log_middle", t = "T * (logf(P + T) - logf(P))", log = "(P + T) / P", val = "T * g", pos = true, heavy = 8 },
  { id = "log_sum_two", t = "T * (logf(T) + logf(P))", log = "T * P", val = "T * g", pos = true, heavy = 6 }, { id = "log_of_means", t = "P * (logf(1.0f + P) - logf(1.0f + T))", log = "(1.0f + P) / (1.0f + T)", val = "P * g", pos = true, heavy = 6 },
  { id = "weighted_log_ratio", t = "(1.0f + T) * logf(P / T)", log = "P / T", val = "(1.0f + T) * g", pos = true, heavy = 4 },
}
local ENDS = { "s / (m * n)", "s / m", "s", "0.5f * s", "s / n", "s / (m * n) + 1.0f" }

for _, p in ipairs(PAIRS) do
  local tol = (p.exp or p.log or p.log2) and true or nil
  def("loss_" .. p.id, "loss", p.heavy or (tol and 3 or 2), function(r)
    local flat = r:chance(0.4)
    local slow, t = p.slow or p.t, p.t
    if r:chance(0.5) then slow = t end
    local last = r:pick(ENDS)
    if p.id == "chi_square" or p.id == "product" then last = "s / (m * n) + 1.0f" end
    if flat then last = last:gsub("m %* n", "n"):gsub("s / m", "s / n"):gsub("%(n%)", "n") end
    local x, y = flat and "x[i]" or "x[i * n + j]", flat and "t[i]" or "t[i * n + j]"
    local function quick(px, tx)
      if p.exp then return I.exp(pt(p.exp, px, tx), "e"), pt(p.val, px, tx) end
      if p.log2 == "sep" then return I.log(px, "g") .. I.log(tx, "gt", "t"), pt(p.val, px, tx) end
      if p.log2 then return I.log(tx .. " / " .. px, "g"), p.val end
      if p.log then return I.log(pt(p.log, px, tx), "g"), pt(p.val, px, tx) end
      return "", pt(t, px, tx)
    end
    local env = { t0 = pt(slow, x, y), t1 = pt(t, x, y), last = last }
    env.pre, env.t2 = quick(x, y)
    env.prev, env.tv = quick("p", "q")
    local loop = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $b } }"
    local one = flat and "for (int i = 0; i < n; i++) { $b }" or "for (int i = 0; i < m * n; i++) { $b }"
    local function body(lp, b, pragma, fin) return fill("float s = 0.0f;\n" .. (pragma and "#pragma omp simd reduction(+:s)\n" or "") .. lp .. " z[0] = $last;", { b = b, last = fin or last }) end
    local form = r:int(1, 3)
    local base
    if not flat and r:chance(0.4) then base = body(one, "s += " .. pt(slow, "x[i]", "t[i]") .. ";")
    elseif form == 1 then base = body(loop, fill("s += $t0;", env))
    elseif form == 2 then base = fill("z[0] = 0.0f; " .. loop .. " z[0] = $last;", { b = fill("z[0] += $t0;", env), last = (last:gsub("%f[%w_]s%f[^%w_]", "z[0]")) })
    else base = body(loop, "float p = " .. x .. "; float q = " .. y .. "; s += " .. pt(slow, "p", "q") .. ";") end
    local xi, yi = "x[i]", "t[i]"
    local prei, ti = quick(xi, yi)
    local mild = { body(one, "s += " .. pt(t, xi, yi) .. ";") }
    local strong = { body(one, prei .. " s += " .. ti .. ";", true), body(one, "float p = x[i]; float q = t[i]; " .. env.prev .. " s += " .. env.tv .. ";", true) }
    if not tol then
      local n = flat and "n" or "m * n"
      strong[3] = I.sum_four("k", function(j) return pt(t, "x[" .. j .. "]", "t[" .. j .. "]") end)
      strong[3] = "int k = " .. n .. ";\n" .. strong[3] .. " z[0] = " .. last .. ";"
    elseif not flat then
      strong[3] = fill("float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; const float *q0 = t + i * n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float p = p0[j]; float q = q0[j]; $prev s += $tv; } } z[0] = $last;", env)
    end
    local dist = p.pos and { x = { "probs" }, t = { "probs" } } or p.small and { x = { "uniform" }, t = { "uniform" } } or nil
    return { sig = flat and "x[n], t[n] -> z[1]" or "x[m,n], t[m,n] -> z[1]", sizes = flat and r:pick { "n=65536", "n=40000" } or r:pick { "m=128,n=512", "m=64,n=700", "m=200,n=256" }, body = base, mild = mild, strong = strong, tol = tol, dist = dist }
  end)
end

-- One array and weights, or one array alone.
def("loss_weighted_square", "loss", 2, function(r)
  local t = r:pick { "w[j] * (x[i * n + j] - t[i * n + j]) * (x[i * n + j] - t[i * n + j])", "w[j] * fabsf(x[i * n + j] - t[i * n + j])" }
  return { sig = "x[m,n], t[m,n], w[n] -> z[1]", sizes = "m=128,n=400", body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { s += $t; } } z[0] = s / (m * n);", { t = t }), mild = {},
    strong = { fill("float s = 0.0f; for (int i = 0; i < m; i++) {\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { s += $t; } } z[0] = s / (m * n);", { t = t }) } }
end)
def("loss_row_entropy", "loss", 5, function(r) -- -sum x log x over everything, rows averaged
  local t = r:pick { { b = "-X * logf(X)", v = "-p * g" }, { b = "X * logf(X)", v = "p * g" }, { b = "X * (logf(X) + 1.0f)", v = "p * (g + 1.0f)" }, { b = "logf(X)", v = "g" } }
  local env = { b = t.b:gsub("X", "x[i * n + j]"), v = t.v, log = I.log("p", "g"), fin = r:pick { "s / m", "s / (m * n)" } }
  return { sig = "x[m,n] -> z[1]", sizes = r:pick { "m=64,n=500", "m=100,n=400" }, tol = true, dist = { x = { "probs" } },
    body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { s += $b; } } z[0] = $fin;", env), mild = {},
    strong = { fill("float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int i = 0; i < m * n; i++) { float p = x[i]; $log s += $v; } z[0] = $fin;", env),
      fill("float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float p = p0[j]; $log s += $v; } } z[0] = $fin;", env) } }
end)
def("loss_hinge_rows", "loss", 3, function(r) -- KernelBench 100: targets broadcast
  return { sig = "x[m,n], t[n] -> z[1]", sizes = "m=128,n=512", body = r:pick {
      "float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { s += fmaxf(1.0f - x[i * n + j] * t[j], 0.0f); } } z[0] = s / (m * n);",
      "float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float v = 1.0f - x[i * n + j] * t[j]; if (v > 0.0f) { s += v; } } } z[0] = s / (m * n);" },
    dist = { t = { "pm1" } },
    mild = { "float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; for (int j = 0; j < n; j++) { float v = 1.0f - p0[j] * t[j]; s += v > 0.0f ? v : 0.0f; } } z[0] = s / (m * n);" },
    strong = { "float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { float v = 1.0f - p0[j] * t[j]; s += v > 0.0f ? v : 0.0f; } } z[0] = s / (m * n);" } }
end, 100)
def("loss_triplet", "loss", 4, function(r)
  local margin = r:pick { "1.0f" }
  local env = { m1 = margin }
  return { sig = "a[m,n], p[m,n], q[m,n] -> z[1]", sizes = "m=64,n=500",
    body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { float d = 0.0f; float e = 0.0f; for (int j = 0; j < n; j++) { float u = a[i * n + j] - p[i * n + j] + 1e-6f; d += u * u; } for (int j = 0; j < n; j++) { float u = a[i * n + j] - q[i * n + j] + 1e-6f; e += u * u; } s += fmaxf(sqrtf(d) - sqrtf(e) + $m1, 0.0f); } z[0] = s / m;", env),
    mild = { fill("float s = 0.0f; for (int i = 0; i < m; i++) { float d = 0.0f, e = 0.0f; for (int j = 0; j < n; j++) { float u = a[i * n + j] - p[i * n + j] + 1e-6f; float v = a[i * n + j] - q[i * n + j] + 1e-6f; d += u * u; e += v * v; } float g = sqrtf(d) - sqrtf(e) + $m1; s += g > 0.0f ? g : 0.0f; } z[0] = s / m;", env) },
    strong = { fill("float s = 0.0f; for (int i = 0; i < m; i++) { float d = 0.0f, e = 0.0f;\n#pragma omp simd reduction(+:d, e)\nfor (int j = 0; j < n; j++) { float u = a[i * n + j] - p[i * n + j] + 1e-6f; float v = a[i * n + j] - q[i * n + j] + 1e-6f; d += u * u; e += v * v; } float g = sqrtf(d) - sqrtf(e) + $m1; s += g > 0.0f ? g : 0.0f; } z[0] = s / m;", env) } }
end, 99)
def("loss_cosine", "loss", 3, function(r)
  local env = { o = r:pick { "1.0f - d / sqrtf(e * f + 0.01f)", "d / (sqrtf(e) * sqrtf(f) + 0.01f)" } }
  return { sig = "x[m,n], t[m,n] -> z[1]", sizes = "m=64,n=500",
    body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { float d = 0.0f; float e = 0.0f; float f = 0.0f; for (int j = 0; j < n; j++) { d += x[i * n + j] * t[i * n + j]; e += x[i * n + j] * x[i * n + j]; f += t[i * n + j] * t[i * n + j]; } s += $o; } z[0] = s / m;", env), mild = {},
    strong = { fill("float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; const float *q0 = t + i * n; float d = 0.0f, e = 0.0f, f = 0.0f;\n#pragma omp simd reduction(+:d, e, f)\nfor (int j = 0; j < n; j++) { d += p0[j] * q0[j]; e += p0[j] * p0[j]; f += q0[j] * q0[j]; } s += $o; } z[0] = s / m;", env) } }
end)
def("loss_dice", "loss", 2, function(r)
  return { sig = "x[m,n], t[m,n] -> z[1]", sizes = "m=64,n=800", dist = { x = { "uniform" }, t = { "uniform" } },
    body = "float a = 0.0f; float b = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { a += x[i * n + j] * t[i * n + j]; b += x[i * n + j] + t[i * n + j]; } } z[0] = 1.0f - (2.0f * a + 1.0f) / (b + 1.0f);", mild = {},
    strong = { "float a = 0.0f, b = 0.0f;\n#pragma omp simd reduction(+:a, b)\nfor (int i = 0; i < m * n; i++) { a += x[i] * t[i]; b += x[i] + t[i]; } z[0] = 1.0f - (2.0f * a + 1.0f) / (b + 1.0f);" } }
end)

-- Rows of scores with one target class each: relatives of cross entropy.
local top_slow = "float top = x[i * n]; for (int j = 1; j < n; j++) { top = fmaxf(top, x[i * n + j]); }"
local top_if = "float top = x[i * n]; for (int j = 1; j < n; j++) { if (x[i * n + j] > top) { top = x[i * n + j]; } }"
local top_mild = "float top = p0[0]; for (int j = 1; j < n; j++) { top = p0[j] > top ? p0[j] : top; }"
local top_fast = "float top = p0[0];\n#pragma omp simd reduction(max:top)\nfor (int j = 0; j < n; j++) { top = p0[j] > top ? p0[j] : top; }"
-- o: what row i adds, of s (sum of exp(x - top)), top, hit (target's score); sum: what is summed instead of exp
local SCORES = {
  { id = "target_share", o = "1.0f - expf(H - top) / s", heavy = 5 }, { id = "square_share", o = "(1.0f - expf(H - top) / s) * (1.0f - expf(H - top) / s)", heavy = 3 },
  { id = "log_norm", o = "logf(s) + top", nohit = true, heavy = 5 }, { id = "log_norm_square", o = "(logf(s) + top) * (logf(s) + top)", nohit = true, heavy = 4 },
  { id = "gap_to_top", o = "top - H", nosum = true, heavy = 3 }, { id = "lse_half_hit", o = "logf(s) + top - 0.5f * H", heavy = 5 }, { id = "log_norm_gap", o = "logf(s)", nohit = true, heavy = 3 },
  { id = "lse_two_hits", o = "logf(s) + top - 2.0f * H", heavy = 5 }, { id = "lse_plus_hit", o = "logf(s) + top + H", heavy = 5 }, { id = "lse_times_hit", o = "(logf(s) + top) * H", heavy = 4 }, { id = "lse_hit_square", o = "logf(s) + top - H * H", heavy = 5 },
  { id = "row_loss_square", o = "(logf(s) + top - H) * (logf(s) + top - H)", heavy = 5 }, { id = "lse_abs_hit", o = "logf(s) + top - fabsf(H)", heavy = 4 },
  { id = "focal", o = "(1.0f - expf(H - top) / s) * (logf(s) + top - 0.9f * H)", heavy = 3 }, { id = "two_norm", o = "0.1f * (logf(s) + top) * (logf(s) + top) - H", heavy = 4 },
}
for _, c in ipairs(SCORES) do
  def("class_" .. c.id, "class_loss", c.heavy + 2, function(r)
    local label = r:chance(0.5) and "i32" or "i64"
    local hit = "x[i * n + t[i]]"
    local fin = r:pick { "z / m", "z / m", "z" }
    local env = { top = r:pick { top_slow, top_if }, topm = top_mild, topf = top_fast, o = c.o:gsub("%f[%w]H%f[%W]", hit), op = c.o:gsub("%f[%w]H%f[%W]", "p0[t[i]]"), fin = fin, pe = I.exp("p0[j] - top", "e"), sum = c.nosum and "" or "float s = 0.0f; for (int j = 0; j < n; j++) { s += expf(x[i * n + j] - top); }" }
    env.summ = c.nosum and "" or "float s = 0.0f; for (int j = 0; j < n; j++) { s += expf(p0[j] - top); }"
    env.sumf = c.nosum and "" or "float s = 0.0f;\n#pragma omp simd reduction(+:s)\nfor (int j = 0; j < n; j++) { " .. env.pe .. " s += e; }"
    if not c.nosum and r:chance(0.5) then
      env.top = env.top:gsub("float top = x%[i %* n%];", "float top = x[i * n], s = 0.0f;"); env.sum = env.sum:gsub("float s = 0.0f; ", "")
      env.topm = env.topm:gsub("float top = p0%[0%];", "float top = p0[0], s = 0.0f;"); env.summ = env.summ:gsub("float s = 0.0f; ", "")
      env.topf = env.topf:gsub("float top = p0%[0%];", "float top = p0[0], s = 0.0f;"); env.sumf = env.sumf:gsub("float s = 0.0f;", "")
    end
    return { sig = "x[m,n]" .. (c.nohit and "" or ", t:" .. label .. "<n[m]") .. " -> y[1]", sizes = r:pick { "m=32,n=512", "m=48,n=300", "m=64,n=256" }, tol = not c.nosum or nil,
      body = fill("float z = 0.0f; for (int i = 0; i < m; i++) { $top $sum z += $o; } y[0] = $fin;", env),
      mild = { fill("float z = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; $topm $summ z += $op; } y[0] = $fin;", env) },
      strong = { fill("float z = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; $topf $sumf z += $op; } y[0] = $fin;", env) } }
  end)
end
def("class_margin", "class_loss", 4, function(r)
  local label = r:chance(0.5) and "i32" or "i64"
  return { sig = "x[m,n], t:" .. label .. "<n[m] -> z[1]", sizes = "m=100,n=400",
    body = r:pick { "float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { if (j != t[i]) { s += fmaxf(0.0f, 1.0f - x[i * n + t[i]] + x[i * n + j]); } } } z[0] = s / (m * n);",
      "float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { if (j == t[i]) { continue; } float v = 1.0f - x[i * n + t[i]] + x[i * n + j]; if (v > 0.0f) { s += v; } } } z[0] = s / (m * n);" },
    mild = { "float s = 0.0f; for (int i = 0; i < m; i++) { float c = 1.0f - x[i * n + t[i]]; for (int j = 0; j < n; j++) { float v = c + x[i * n + j]; s += v > 0.0f && j != t[i] ? v : 0.0f; } } z[0] = s / (m * n);" },
    strong = { "float s = 0.0f; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float c = 1.0f - p0[t[i]]; float d = 0.0f;\n#pragma omp simd reduction(+:d)\nfor (int j = 0; j < n; j++) { float v = c + p0[j]; d += v > 0.0f ? v : 0.0f; } s += d - 1.0f; } z[0] = s / (m * n);" } }
end)
def("class_rank", "class_loss", 3, function(r)
  local label = r:chance(0.5) and "i32" or "i64"
  return { sig = "x[m,n], t:" .. label .. "<n[m] -> z[1]", sizes = "m=100,n=500",
    body = "float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { if (x[i * n + j] > x[i * n + t[i]]) { s += 1.0f; } } } z[0] = s / m;", mild = {},
    strong = { "int s = 0; for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float c = p0[t[i]]; for (int j = 0; j < n; j++) { s += p0[j] > c; } } z[0] = (float)s / m;" } }
end)
def("class_log_pick", "class_loss", 4, function(r) -- x holds probabilities
  local env = { o = r:pick { "0.5f * logf(x[i * n + t[i]]) + 1.0f", "-logf(0.5f + x[i * n + t[i]])", "x[i * n + t[i]] * x[i * n + t[i]]" } }
  return { sig = "x[m,n], t:i64<n[m], w[n] -> z[1]", sizes = "m=200,n=200", dist = { x = { "positive", "probs" } }, tol = true,
    body = fill("float s = 0.0f; for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { if (j == t[i]) { s += w[j] * ($o); } } } z[0] = s / m;", env), mild = {},
    strong = { fill("float s = 0.0f; for (int i = 0; i < m; i++) { s += w[t[i]] * ($o); } z[0] = s / m;", env) } }
end)
return defs
