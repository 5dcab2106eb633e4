-- SPDX-License-Identifier: Apache-2.0
-- maps.lua: one output element from one input element: activations and other functions of a scalar. What there is to learn:
-- selects instead of fmaxf/fminf and branches (gcc calls the library for fmaxf without -ffinite-math-only, and a call ends
-- vectorisation), multiplication by a reciprocal, Horner instead of powf, exponentials and logarithms as polynomials.
--
-- A map has `base`: statements from X (the input element) to Y (the output element), one of them drawn per instance, and
-- `fast`: rewritings, mild first. Tasks of an evaluation half are absent (excluded.lua): no relu, sigmoid, hardsigmoid,
-- softplus, softsign, hardtanh, nor a clamp of x itself between constants.

local I = require "corpus.idiom"
local fill = I.fill

local maps = {}
local function map(id, o) o.id = id; maps[#maps + 1] = o end

local function e(arg, val, high) return "float v = X;\n" .. I.exp(arg, "e", high) .. "Y = " .. val .. ";" end
local function l(arg, val) return "float v = X;\n" .. I.log(arg, "g") .. "Y = " .. val .. ";" end

-- ── piecewise ──
map("hard_swish", { base = { "Y = X * fminf(fmaxf(X + 3.0f, 0.0f), 6.0f) / 6.0f;",
    "float t = fmaxf(X + 3.0f, 0.0f); t = fminf(t, 6.0f); Y = X * t / 6.0f;", },
  fast = { "float v = X; float t = v + 3.0f; t = t < 0.0f ? 0.0f : t; t = t > 6.0f ? 6.0f : t; Y = v * t / 6.0f;",
    "float t = X + 3.0f; t = t < 0.0f ? 0.0f : t; t = t > 6.0f ? 6.0f : t; Y = X * (t * 0.16666667f);" } })
map("hard_mish", { base = { "Y = 0.5f * X * fminf(fmaxf(X + 2.0f, 0.0f), 2.0f);",
    "float c = X + 2.0f; c = fmaxf(0.0f, c); c = fminf(2.0f, c); Y = X * c / 2.0f;" },
  fast = { "float v = X; float t = v + 2.0f; t = t < 0.0f ? 0.0f : t; t = t > 2.0f ? 2.0f : t; Y = 0.5f * v * t;" } })
map("leaky_clip", { draw = function(r) return { a = r:pick { "0.1f", "0.05f", "0.2f" }, lo = r:pick { "-2.0f", "-1.5f", "-0.5f" }, hi = r:pick { "2.5f", "1.5f", "4.0f" } } end,
  base = { "float v = X; if (v < $lo) { Y = $lo + $a * (v - $lo); } else if (v > $hi) { Y = $hi + $a * (v - $hi); } else { Y = v; }",
    "Y = fminf(fmaxf(X, $lo), $hi) + $a * (X - fminf(fmaxf(X, $lo), $hi));" },
  fast = { "float v = X; float c = v < $lo ? $lo : v; c = c > $hi ? $hi : c; Y = c + $a * (v - c);" } })
map("clip_square", { draw = function(r) return { hi = r:pick { "4.0f", "2.0f", "9.0f" } } end,
  base = { "Y = fminf(X * X, $hi);", "float q = X * X; if (q > $hi) { q = $hi; } Y = q;" },
  fast = { "float q = X * X; Y = q > $hi ? $hi : q;" } })
map("clip_slope", { draw = function(r) return { a = r:pick { "0.25f", "0.4f", "1.5f" }, b = r:pick { "0.3f", "0.6f", "0.1f" }, c = r:pick { "0.01f", "0.02f" } } end,
  base = { "Y = fminf(fmaxf($a * X + $b, 0.0f), 1.0f) + $c * X;", "float t = fmaxf(0.0f, fminf(1.0f, $a * X + $b)); Y = t + $c * X;",
    "float t = $a * X + $b; if (t < 0.0f) { t = 0.0f; } if (t > 1.0f) { t = 1.0f; } Y = t + $c * X;" },
  fast = { "float v = X; float t = $a * v + $b; t = t < 0.0f ? 0.0f : t; t = t > 1.0f ? 1.0f : t; Y = t + $c * v;" } })
map("soft_shrink", { draw = function(r) return { a = r:pick { "0.5f", "0.25f", "1.0f" } } end,
  base = { "if (X > $a) { Y = X - $a; } else if (X < -$a) { Y = X + $a; } else { Y = 0.0f; }",
    "Y = fmaxf(X - $a, 0.0f) + fminf(X + $a, 0.0f);" },
  fast = { "float v = X; Y = v > $a ? v - $a : (v < -$a ? v + $a : 0.0f);",
    "float p = X - $a; float q = X + $a; p = p > 0.0f ? p : 0.0f; q = q < 0.0f ? q : 0.0f; Y = p + q;" } })
map("hard_shrink", { draw = function(r) return { a = r:pick { "0.5f", "0.3f", "0.8f" } } end,
  base = { "if (fabsf(X) > $a) { Y = X; } else { Y = 0.0f; }", "float v = X; if (v > $a || v < -$a) { Y = v; } else { Y = 0.0f; }" },
  fast = { "float v = X; Y = fabsf(v) > $a ? v : 0.0f;" } })
map("relu_squared", { base = { "float t = fmaxf(X, 0.0f); Y = t * t;", "if (X > 0.0f) { Y = X * X; } else { Y = 0.0f; }", "Y = powf(fmaxf(X, 0.0f), 2.0f);" },
  fast = { "float v = X > 0.0f ? X : 0.0f; Y = v * v;" } })
map("hat", { draw = function(r) return { a = r:pick { "1.0f", "2.0f", "1.5f" } } end,
  base = { "Y = fmaxf($a - fabsf(X), 0.0f);", "float t = $a - fabsf(X); if (t < 0.0f) { t = 0.0f; } Y = t;" },
  fast = { "float t = $a - fabsf(X); Y = t > 0.0f ? t : 0.0f;" } })
map("trapezoid", { base = { "Y = fmaxf(0.0f, fminf(1.0f, 2.0f - fabsf(X)));", "float t = fminf(2.0f - fabsf(X), 1.0f); Y = fmaxf(t, 0.0f);" },
  fast = { "float t = 2.0f - fabsf(X); t = t > 1.0f ? 1.0f : t; Y = t < 0.0f ? 0.0f : t;" } })
map("two_slopes", { draw = function(r) return { a = r:pick { "0.3f", "0.7f" }, b = r:pick { "1.2f", "2.0f" }, c = r:pick { "3.0f", "1.0f" } } end,
  base = { "Y = fmaxf($a * X, fminf($b * X, $c));", "float p = fminf($b * X, $c); Y = fmaxf(p, $a * X);" },
  fast = { "float v = X; float p = $b * v; p = p > $c ? $c : p; float q = $a * v; Y = p > q ? p : q;" } })
map("threshold", { draw = function(r) return { a = r:pick { "0.2f", "0.5f", "-0.3f" }, b = r:pick { "-1.0f", "0.1f", "2.0f" } } end,
  base = { "if (X > $a) { Y = X; } else { Y = $b; }", "Y = $b; if (X > $a) { Y = X; }" },
  fast = { "float v = X; Y = v > $a ? v : $b;" } })
map("quadratic_gate", { base = { "float v = X; if (v <= 0.0f) { Y = 0.0f; } else if (v >= 1.0f) { Y = v; } else { Y = v * v; }" },
  fast = { "float v = X; float t = v < 0.0f ? 0.0f : v; t = t > 1.0f ? 1.0f : t; Y = t * v;" } })
map("smooth_step", { base = { "float t = fminf(fmaxf(X, 0.0f), 1.0f); Y = t * t * (3.0f - 2.0f * t);",
    "float t = X; if (t < 0.0f) { t = 0.0f; } else if (t > 1.0f) { t = 1.0f; } Y = 3.0f * powf(t, 2.0f) - 2.0f * powf(t, 3.0f);" },
  fast = { "float t = X < 0.0f ? 0.0f : X; t = t > 1.0f ? 1.0f : t; Y = t * t * (3.0f - 2.0f * t);" } })
map("clip_cubic", { base = { "float t = fminf(fmaxf(X, -1.0f), 1.0f); Y = 1.5f * t - 0.5f * t * t * t;", "float t = fmaxf(-1.0f, fminf(1.0f, X)); Y = 0.5f * t * (3.0f - powf(t, 2.0f));" },
  fast = { "float t = X < -1.0f ? -1.0f : X; t = t > 1.0f ? 1.0f : t; Y = t * (1.5f - 0.5f * t * t);" } })
map("leaky_relu", { l1 = 20, draw = function(r) return { a = r:pick { "0.01f" } } end,
  base = { "Y = fmaxf(X, 0.0f) + $a * fminf(X, 0.0f);", "if (X > 0.0f) { Y = X; } else { Y = $a * X; }" },
  fast = { "float v = X; Y = v > 0.0f ? v : $a * v;" } })
map("crelu_gap", { base = { "Y = fmaxf(X - 1.0f, 0.0f) - fmaxf(-X - 1.0f, 0.0f);" },
  fast = { "float v = X; float p = v - 1.0f; p = p > 0.0f ? p : 0.0f; float q = -v - 1.0f; q = q > 0.0f ? q : 0.0f; Y = p - q;" } })
-- ── rational and roots ──
map("lorentz", { draw = function(r) return { a = r:pick { "1.0f", "2.0f", "0.5f" } } end,
  base = { "Y = 1.0f / (1.0f + X * X / $a);", "Y = $a / ($a + powf(X, 2.0f));" }, fast = { "float v = X; Y = $a / ($a + v * v);" } })
map("abs_ratio", { base = { "if (X < 0.0f) { Y = -X / (1.0f - X); } else { Y = X / (1.0f + X); }", "Y = fabsf(X) / (1.0f + fabsf(X));", "Y = fmaxf(X, -X) / (1.0f + fmaxf(X, -X));" },
  fast = { "float a = fabsf(X); Y = a / (1.0f + a);" } })
map("square_ratio", { base = { "if (X >= 0.0f) { Y = X * X / (1.0f + X); } else { Y = X * X / (1.0f - X); }", "Y = powf(X, 2.0f) / (1.0f + fabsf(X));", "Y = X * X / (1.0f + fmaxf(X, -X));" },
  fast = { "float v = X; Y = v * v / (1.0f + fabsf(v));" } })
map("signed_ratio", { base = { "float d = 1.0f; if (X > 0.0f) { d += X * X; } else { d -= X; } Y = X / d;" },
  fast = { "float v = X; float d = 1.0f + (v > 0.0f ? v * v : -v); Y = v / d;" } })
map("elliott", { base = { "if (X < 0.0f) { Y = 0.5f + 0.5f * X / (1.0f - X); } else { Y = 0.5f + 0.5f * X / (1.0f + X); }", "float a = X; if (a < 0.0f) { a = -a; } Y = 0.5f * X / (1.0f + a) + 0.5f;", "Y = 0.5f + 0.5f * X / (1.0f + fmaxf(X, -X));" },
  fast = { "float v = X; Y = 0.5f + 0.5f * v / (1.0f + fabsf(v));" } })
map("isru", { base = { "Y = X / sqrtf(1.0f + X * X);", "Y = X / powf(1.0f + powf(X, 2.0f), 0.5f);" }, fast = { "float v = X; Y = v / sqrtf(1.0f + v * v);" } })
map("isrlu", { base = { "if (X >= 0.0f) { Y = X; } else { Y = X / sqrtf(1.0f + X * X); }" }, fast = { "float v = X; float q = v / sqrtf(1.0f + v * v); Y = v < 0.0f ? q : v;" } })
map("square_plus", { draw = function(r) return { a = r:pick { "4.0f", "1.0f", "2.0f" } } end,
  base = { "Y = (X + sqrtf(X * X + $a)) / 2.0f;", "Y = 0.5f * (X + powf(X * X + $a, 0.5f));" }, fast = { "float v = X; Y = 0.5f * (v + sqrtf(v * v + $a));" } })
map("bent", { base = { "Y = (sqrtf(X * X + 1.0f) - 1.0f) / 2.0f + X;", "Y = X + (powf(X * X + 1.0f, 0.5f) - 1.0f) * 0.5f;" }, fast = { "float v = X; Y = v + 0.5f * (sqrtf(v * v + 1.0f) - 1.0f);" } })
map("signed_square", { base = { "if (X < 0.0f) { Y = -X * X; } else { Y = X * X; }", "Y = X * fmaxf(X, -X);" }, fast = { "float v = X; Y = v * fabsf(v);", "Y = X * fabsf(X);" } })
map("signed_sqrt", { base = { "if (X < 0.0f) { Y = -sqrtf(-X); } else { Y = sqrtf(X); }" }, fast = { "float v = X; float q = sqrtf(fabsf(v)); Y = v < 0.0f ? -q : q;" } })
map("rsqrt_eps", { base = { "Y = 1.0f / powf(X * X + 0.01f, 0.5f);", "Y = powf(X * X + 0.01f, -0.5f);" }, fast = { "float v = X; Y = 1.0f / sqrtf(v * v + 0.01f);" } })
-- ── powers ──
map("cube_plus", { base = { "Y = powf(X, 3.0f) + X;", "Y = X * X * X + X;" }, fast = { "float v = X; Y = v * (v * v + 1.0f);" } })
map("poly4", { draw = function(r) return { a = r:pick { "0.5f", "0.2f" }, b = r:pick { "1.5f", "0.75f" }, c = r:pick { "2.0f", "0.3f" } } end,
  base = { "Y = $a * powf(X, 4.0f) + $b * powf(X, 2.0f) + $c;", "Y = $a * powf(X, 4.0f) + $b * X * X + $c;" },
  fast = { "float q = X * X; Y = ($a * q + $b) * q + $c;", "float v = X; float q = v * v; Y = $a * (q * q) + $b * q + $c;" } })
map("poly3", { draw = function(r) return { a = r:pick { "0.5f", "0.25f" }, b = r:pick { "1.5f", "0.75f" }, c = r:pick { "2.0f", "0.3f" }, d = r:pick { "1.0f", "0.1f" } } end,
  base = { "Y = $a * powf(X, 3.0f) + $b * powf(X, 2.0f) + $c * X + $d;" }, fast = { "float v = X; Y = (($a * v + $b) * v + $c) * v + $d;" } })
map("pow_five", { base = { "Y = powf(fabsf(X), 5.0f);", "float p = 1.0f; for (int p5 = 0; p5 < 5; p5++) p *= fabsf(X); Y = p;" }, fast = { "float a = fabsf(X); float q = a * a; Y = q * q * a;" } })
map("pow_three_halves", { base = { "Y = powf(fabsf(X), 1.5f);" }, fast = { "float a = fabsf(X); Y = a * sqrtf(a);" } })
-- ── exponentials ──
map("swish", { l1 = 25, tol = true, base = { "Y = X / (1.0f + expf(-X));", "Y = X * (1.0f / (1.0f + expf(-X)));", "float s = 1.0f / (1.0f + expf(-X)); Y = X * s;" }, fast = { "float v = X; Y = v / (1.0f + expf(-v));", e("-v", "v / (1.0f + e)", true) } })
map("quick_gelu", { tol = true, base = { "Y = X / (1.0f + expf(-1.702f * X));", "Y = X * (1.0f / (1.0f + expf(-1.702f * X)));" }, fast = { e("-1.702f * v", "v / (1.0f + e)", true) } })
map("sigmoid_slope", { tol = true, base = { "float s = 1.0f / (1.0f + expf(-X)); Y = s * (1.0f - s);", "Y = expf(-X) / ((1.0f + expf(-X)) * (1.0f + expf(-X)));" },
  fast = { "float q = expf(-fabsf(X)); Y = q / ((1.0f + q) * (1.0f + q));", e("-fabsf(v)", "e / ((1.0f + e) * (1.0f + e))") } })
map("gelu", { l1 = 26, base = { "Y = 0.5f * X * (1.0f + erff(X / sqrtf(2.0f)));", "Y = X * 0.5f * (1.0f + erff(X / 1.41421356f));" }, fast = { "float v = X; Y = 0.5f * v * (1.0f + erff(v * 0.70710678f));" } })
map("gelu_tanh", { l1 = 88, tol = true, base = { "Y = 0.5f * X * (1.0f + tanhf(0.79788456f * (X + 0.044715f * X * X * X)));", "Y = 0.5f * X * (1.0f + tanhf(0.79788456f * (X + 0.044715f * powf(X, 3.0f))));" },
  fast = { "float v = X; float q = 1.59576912f * v * (1.0f + 0.044715f * v * v); Y = v / (1.0f + expf(-q));", e("-1.595769f * v * (1.0f + 0.044715f * v * v)", "v / (1.0f + e)", true) } })
map("tanh", { l1 = 22, tol = true, base = { "Y = tanhf(X);", "float p = expf(X); float q = expf(-X); Y = (p - q) / (p + q);" },
  fast = { "float v = X; float q = expf(2.0f * v); Y = fabsf(v) < 0.3f ? tanhf(v) : (q - 1.0f) / (q + 1.0f);",
    e("2.0f * v", "fabsf(v) < 0.25f ? v * (1.0f + v * v * (-0.333333f + v * v * 0.133f)) : 1.0f - 2.0f / (1.0f + e)", true) } })
map("elu", { l1 = 31, tol = true, base = { "if (X > 0.0f) { Y = X; } else { Y = expf(X) - 1.0f; }", "Y = X > 0.0f ? X : 1.0f * (expf(X) - 1.0f);", "Y = fmaxf(X, 0.0f) + fminf(expf(X) - 1.0f, 0.0f);" },
  fast = { "float v = X; Y = v > 0.0f ? v : expf(v) - 1.0f;", e("v", "v > 0.0f ? v : e - 1.0f") } })
map("selu", { l1 = 27, tol = true, base = { "if (X > 0.0f) { Y = 1.050701f * X; } else { Y = 1.050701f * 1.6732632f * (expf(X) - 1.0f); }", "Y = 1.050701f * (fmaxf(X, 0.0f) + fminf(1.6732632f * (expf(X) - 1.0f), 0.0f));" },
  fast = { e("v", "v > 0.0f ? 1.050701f * v : 1.7580993f * (e - 1.0f)") } })
map("celu", { tol = true, draw = function(r) local a = r:pick { 2, 4 }; return { a = a .. ".0f", ia = a == 2 and "0.5f" or "0.25f" } end,
  base = { "Y = fmaxf(X, 0.0f) + fminf(0.0f, $a * (expf(X / $a) - 1.0f));", "if (X > 0.0f) { Y = X; } else { Y = $a * (expf(X / $a) - 1.0f); }" }, fast = { e("$ia * v", "v > 0.0f ? v : $a * (e - 1.0f)") } })
map("gauss", { tol = true, draw = function(r) return { a = r:pick { "1.0f", "0.5f", "2.0f" } } end,
  base = { "Y = expf(-$a * X * X);", "Y = expf(-$a * powf(X, 2.0f));" }, fast = { e("-$a * v * v", "e") } })
map("laplace", { tol = true, draw = function(r) return { a = r:pick { "1.0f", "0.7f", "1.3f" } } end,
  base = { "Y = 0.5f * expf(-$a * fabsf(X));", "if (X > 0.0f) { Y = 0.5f * expf(-$a * X); } else { Y = 0.5f * expf($a * X); }" }, fast = { e("-$a * fabsf(v)", "0.5f * e") } })
map("pow_two", { tol = true, base = { "Y = powf(2.0f, X);", "Y = expf(X * 0.69314718f);", "Y = exp2f(X);" },
  fast = { "float v = X;\nint ke = (int)(v + 127.5f);\nke = ke < 0 ? 0 : ke;\nfloat fr = v - (ke - 127);\nunion { int iv; float fv; } eu;\neu.iv = ke << 23;\nY = eu.fv * (1.0f + fr * (0.69312f + fr * (0.24024f + fr * (0.0559f + fr * 0.00958f))));" } })
map("exp_ratio", { tol = true, draw = function(r) return { a = r:pick { "0.5f", "2.0f", "3.0f" } } end,
  base = { "Y = expf(-X) / ($a + expf(-X));", "float q = expf(-X); Y = q / ($a + q);" }, fast = { e("v", "1.0f / (1.0f + $a * e)", true) } })
map("x_tanh_exp", { tol = true, base = { "Y = X * tanhf(expf(X));" }, fast = { "float v = X;\n" .. I.exp("v", "e") .. "Y = v * tanhf(e);" } })
map("mish", { tol = true, base = { "Y = X * tanhf(logf(1.0f + expf(X)));", "float s = logf(1.0f + expf(X)); Y = X * tanhf(s);" },
  fast = { "float v = X; float q = expf(v < 20.0f ? v : 20.0f); float p = q * (q + 2.0f); Y = v * p / (p + 2.0f);", "float v = X;\nfloat c = v < 20.0f ? v : 20.0f;\n" .. I.exp("c", "e") .. "float p = e * (e + 2.0f);\nY = v * p / (p + 2.0f);" } })
map("decay_ramp", { tol = true, base = { "Y = fabsf(X) * expf(-fabsf(X));" }, fast = { e("-fabsf(v)", "fabsf(v) * e") } })
map("gumbel", { tol = true, base = { "Y = expf(-X - expf(-X));", "Y = expf(-(X + expf(-X)));" }, fast = { "float v = X; float q = expf(-v); Y = q * expf(-q);" } })
-- ── logarithms ──
map("log_square", { tol = true, draw = function(r) return { a = r:pick { "1.0f", "2.0f", "0.5f" } } end, base = { "Y = logf($a + X * X);", "Y = logf($a + powf(X, 2.0f));" }, fast = { l("$a + v * v", "g") } })
map("symlog", { tol = true, base = { "if (X < 0.0f) { Y = -logf(1.0f - X); } else { Y = logf(1.0f + X); }" }, fast = { "float v = X; float q = logf(1.0f + fabsf(v)); Y = v < 0.0f ? -q : q;", l("1.0f + fabsf(v)", "v < 0.0f ? -g : g") } })
map("log_one_exp_abs", { tol = true, base = { "Y = logf(1.0f + expf(-fabsf(X)));", "float a = fabsf(X); Y = logf(1.0f + expf(-a));" }, fast = { "float v = X;\n" .. I.exp("-fabsf(v)", "e") .. I.log("1.0f + e", "g") .. "Y = g;" } })
map("log_two_exp", { tol = true, draw = function(r) return { a = r:pick { "2.0f", "3.0f", "1.5f" }, c = r:pick { "15.0f", "18.0f", "25.0f" } } end,
  base = { "Y = X > $c ? X : logf($a + expf(X));", "if (X > $c) { Y = X; } else { Y = logf($a + expf(X)); }" },
  fast = { "float v = X;\n" .. I.exp("v", "e", true) .. I.log("$a + e", "g") .. "Y = v > $c ? v : g;" } })
map("exp_log_gate", { tol = true, base = { "Y = X * logf(1.0f + expf(X));", "float s = logf(1.0f + expf(X)); Y = s * X;", "float v = X; Y = v > 30.0f ? v * v : v * logf(1.0f + expf(v));" },
  fast = { "float v = X;\n" .. I.exp("v", "e", true) .. I.log("1.0f + e", "g") .. "Y = v > 30.0f ? v * v : v * g;" } })
map("beta_log_exp", { tol = true, draw = function(r) return { a = r:pick { "2.0f", "4.0f" } } end,
  base = { "Y = logf(1.0f + expf($a * X)) - logf(1.0f + expf(-1.0f));", "float t = $a * X; Y = t > 30.0f ? t - 0.31326169f : logf(1.0f + expf(t)) - 0.31326169f;" },
  fast = { "float v = $a * X;\n" .. I.exp("v", "e", true) .. I.log("1.0f + e", "g") .. "Y = (v > 30.0f ? v : g) - 0.313262f;" } })
map("log_cosh", { tol = true, base = { "float a = fabsf(X); Y = a + logf(1.0f + expf(-2.0f * a)) - 0.69314718f;" }, fast = { "float v = fabsf(X);\n" .. I.exp("-2.0f * v", "e") .. I.log("1.0f + e", "g") .. "Y = v + g - 0.6931472f;" } })
map("entropy_term", { tol = true, base = { "float p = X * X + 0.01f; Y = -p * logf(p);" }, fast = { l("v * v + 0.01f", "-(v * v + 0.01f) * g") } })

map("log_one_square", { tol = true, base = { "Y = log1pf(X * X);" }, fast = { l("1.0f + v * v", "g") } })
map("log_one_abs", { tol = true, base = { "Y = log1pf(fabsf(X));", "Y = log1pf(fmaxf(X, -X));" }, fast = { l("1.0f + fabsf(v)", "g") } })
map("soft_slope", { tol = true, draw = function(r) return { c = r:pick { "10.0f", "20.0f", "15.0f" }, a = r:pick { "0.5f", "2.0f", "0.1f" } } end,
  base = { "if (X > $c) { Y = X + $a * X; } else { Y = log1pf(expf(X)) + $a * X; }", "Y = log1pf(expf(X)) + $a * X;", "Y = logf(1.0f + expf(X)) + $a * X;" },
  fast = { "float v = X;\n" .. I.exp("v", "e", true) .. I.log("1.0f + e", "g") .. "Y = (v > 20.0f ? v : g) + $a * v;" } })
map("soft_square", { tol = true, base = { "float s = log1pf(expf(X)); Y = s * s;", "if (X > 20.0f) { Y = X * X; } else { Y = powf(log1pf(expf(X)), 2.0f); }" },
  fast = { "float v = X;\n" .. I.exp("v", "e", true) .. I.log("1.0f + e", "g") .. "g = v > 20.0f ? v : g;\nY = g * g;" } })
map("log_half_exp", { tol = true, draw = function(r) return { c = r:pick { "10.0f", "20.0f", "12.0f" }, a = r:pick { "0.5f", "0.25f" } } end,
  base = { "if (X > $c) { Y = X; } else { Y = log1pf($a * expf(X)); }", },
  fast = { "float v = X;\n" .. I.exp("v", "e", true) .. I.log("1.0f + $a * e", "g") .. "Y = v > $c ? v : g;" } })
map("hard_gate", { draw = function(r) return { a = r:pick { "4.0f", "5.0f", "8.0f" } } end,
  base = { "Y = fminf(fmaxf((X + 3.0f) / $a, 0.0f), 1.0f) * X;", "float g = fminf(fmaxf(X / $a + 0.5f, 0.0f), 1.0f); Y = g * X;", "Y = X * fmaxf(0.0f, fminf(1.0f, (X + 3.0f) / $a));" },
  fast = {} })
map("hard_bump", { draw = function(r) return { a = r:pick { "4.0f", "5.0f", "6.0f" } } end,
  base = { "float g = fminf(fmaxf((X + 2.0f) / $a, 0.0f), 1.0f); Y = g * (1.0f - g);", "float g = fmaxf(0.0f, fminf(1.0f, (X + 2.0f) / $a)); Y = g * (1.0f - g);" },
  fast = { "float g = (X + 2.0f) / $a; g = g < 0.0f ? 0.0f : g; g = g > 1.0f ? 1.0f : g; Y = g * (1.0f - g);" } })
map("clip_offset", { draw = function(r) return { c = r:pick { "0.5f", "1.5f", "3.0f" }, d = r:pick { "0.1f", "0.25f" } } end,
  base = { "Y = X - fmaxf(-$c, fminf($c, X));", "Y = $d * X + fmaxf(-$c, fminf($c, X));", "Y = fminf($c, fmaxf(-$c, X)) + $d * X;" }, fast = {} })
map("clip_abs", { draw = function(r) return { c = r:pick { "0.5f", "1.5f", "3.0f" } } end,
  base = { "Y = fminf(fmaxf(X, -X), $c);", "Y = fminf(fabsf(X), $c);" }, fast = { "float v = fabsf(X); Y = v < $c ? v : $c;" } })

-- Rewritings that depend on which form of the baseline was drawn are written as functions of it.
local function by_base(id, list)
  for _, m in ipairs(maps) do
    if m.id == id then m.pair = list end
  end
end
by_base("hard_gate", { "float v = X; float g = (v + 3.0f) / $a; g = g < 0.0f ? 0.0f : g; g = g > 1.0f ? 1.0f : g; Y = g * v;", "float v = X; float g = v / $a + 0.5f; g = g < 0.0f ? 0.0f : g; g = g > 1.0f ? 1.0f : g; Y = g * v;",
  "float v = X; float g = (v + 3.0f) / $a; g = g < 0.0f ? 0.0f : g; g = g > 1.0f ? 1.0f : g; Y = v * g;" })
by_base("clip_offset", { "float v = X; float g = v < $c ? v : $c; g = g > -$c ? g : -$c; Y = v - g;", "float v = X; float g = v < $c ? v : $c; g = g > -$c ? g : -$c; Y = $d * v + g;", "float v = X; float g = v > -$c ? v : -$c; g = g < $c ? g : $c; Y = g + $d * v;" })

-- ── shapes: flat, rows, and rows walked the wrong way ──
local FLAT = { sig = "x[n] -> y[n]", sizes = { "n=65536", "n=40000", "n=50000" }, x = "x[i]", y = "y[i]", loop = "for (int i = 0; i < n; i++) { $body }" }
local ROWS = { sig = "x[m,n] -> y[m,n]", sizes = { "m=128,n=512", "m=64,n=1000", "m=250,n=256" }, x = "x[i * n + j]", y = "y[i * n + j]",
  loop = "for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { $body } }" }
local COLUMNS = { sig = ROWS.sig, sizes = { "m=256,n=300", "m=200,n=512" }, x = ROWS.x, y = ROWS.y,
  loop = "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { $body } }" }
local FLAT2 = "for (int i = 0; i < m * n; i++) { $body }"
local POINTERS = "for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; for (int j = 0; j < n; j++) { $body } }"

local function place(text, x, y) return (text:gsub("%f[%w_][XY]%f[^%w_]", { X = x, Y = y })) end

local function make_map(m)
  return function(r)
    local k = m.draw and m.draw(r) or {}
    local shape = r:chance(0.6) and FLAT or (r:chance(0.75) and ROWS or COLUMNS)
    local form = r:int(1, #m.base)
    local base = m.base[form]
    local fast_forms = m.pair and { m.pair[form] } or m.fast
    local function body(loop, text, x, y) return fill(loop, { body = place(fill(text, k), x, y) }) end
    local mild, strong = {}, {}
    for i, text in ipairs(fast_forms) do
      local to = (i == #fast_forms) and strong or mild
      if shape == FLAT then
        to[#to + 1] = body(FLAT.loop, text, "x[i]", "y[i]")
      else
        to[#to + 1] = body(ROWS.loop, text, ROWS.x, ROWS.y)
        to[#to + 1] = body(FLAT2, text, "x[i]", "y[i]")
        if r:chance(0.4) then mild[#mild + 1] = body(POINTERS, text, "p0[j]", "q0[j]") end
      end
    end
    if shape == COLUMNS then mild[#mild + 1] = body(ROWS.loop, base, ROWS.x, ROWS.y) end
    return { sig = shape.sig, sizes = r:pick(shape.sizes), body = body(shape.loop, base, shape.x, shape.y), mild = mild, strong = strong, tol = m.tol }
  end
end

local defs = {}
for _, m in ipairs(maps) do
  defs[#defs + 1] = { id = m.id, family = "map", l1 = m.l1, weight = m.tol and 2 or 1, make = make_map(m) }
end
return defs
