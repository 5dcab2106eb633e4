-- SPDX-License-Identifier: Apache-2.0
-- scans.lua: element j of the output depends on elements 0..j (or j..n-1, or a window) of its row. What there is to learn: a
-- quadratic sum becomes a running one; one running sum is a chain of additions, so four rows at a time run four chains;
-- a scan along the outer axis is a loop over contiguous rows.
--
-- Absent: the plain inclusive cumulative sum, cumulative product and masked cumulative sum, along any axis.

local I = require "corpus.idiom"
local fill, subst = I.fill, I.subst
local defs = {}
local function def(id, weight, make, l1) defs[#defs + 1] = { id = id, family = "scan", weight = math.ceil(1.6 * weight), make = make, l1 = l1 } end
local SIZES = { "m=32,n=200", "m=40,n=160", "m=24,n=256" }
local LONG = { "m=64,n=1000", "m=100,n=512", "m=48,n=1200" }

-- A prefix scan: state s, `step` updates it with v, `out` is what is stored (after or before the step), quad: the same from scratch
-- as a sum of `term` over k in lo..hi.
local SCANS = {
  { id = "reverse", l1 = 91, term = "v", rev = true, weight = 5 }, { id = "exclusive", l1 = 92, term = "v", before = true, weight = 5 },
  { id = "reverse_exclusive", term = "v", rev = true, before = true, weight = 3 },
  { id = "square", term = "v * v", weight = 4 }, { id = "abs", term = "fabsf(v)", weight = 4 }, { id = "positive", term = "(v > 0.0f ? v : 0.0f)", slow = "fmaxf(v, 0.0f)", weight = 3 },
  { id = "scaled", term = "v", out = "2.0f * s + 1.0f", weight = 4 }, { id = "mean", term = "v", out = "s / (j + 1)", weight = 4 }, { id = "rms", term = "v * v", out = "sqrtf(s / (j + 1))", weight = 3 },
  { id = "minus_last", term = "v", out = "s - x[i * n + j] * 0.5f", outp = "s - $p[j] * 0.5f", weight = 3 }, { id = "weighted", term = "v * W", w = true, weight = 4 }, { id = "gap", term = "v - 0.5f", weight = 3 },
  { id = "count", term = "(v > 0.0f ? 1.0f : 0.0f)", weight = 2 }, { id = "ratio", term = "v / (1.0f + fabsf(v))", weight = 2 }, { id = "squashed", term = "v", out = "s / (1.0f + fabsf(s))", weight = 3 },
  { id = "reverse_square", term = "v * v", rev = true, weight = 3 }, { id = "half_cube", term = "0.5f * v * v * v", weight = 2 },
}
for _, sc in ipairs(SCANS) do
  def("scan_" .. sc.id, sc.weight, function(r)
    local t = sc.term:gsub("W", "w[j]")
    local slow = (sc.slow or sc.term):gsub("W", "w[l]")
    local out = sc.out or "s"
    local env = { tk = subst(slow, "x[i * n + l]"), tj = subst(t, "x[i * n + j]"), tp = subst(t, "p0[j]"), out = out, outp = (sc.outp or out):gsub("%$p", "p0"),
      lo = sc.rev and (sc.before and "j + 1" or "j") or "0", hi = sc.rev and "n" or (sc.before and "j" or "j + 1"),
      loop = sc.rev and "for (int j = n - 1; j >= 0; j--)" or "for (int j = 0; j < n; j++)", }
    local tn = sc.term:gsub("W", "w[j]")
    local function step(o, x) return sc.before and (o .. " s += " .. subst(tn, x) .. ";") or ("s += " .. subst(tn, x) .. "; " .. o) end
    env.stepx = step("y[i * n + j] = " .. out .. ";", "x[i * n + j]")
    env.stepp = step("q0[j] = " .. env.outp .. ";", "p0[j]")
    local quad = r:chance(0.65)
    env.test = env.hi == "j + 1" and r:chance(0.75) and "l <= j" or "l < " .. env.hi
    local running = fill("for (int i = 0; i < m; i++) { float s = 0.0f; $loop { $stepx } }", env)
    local pointer = fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; float s = 0.0f; $loop { $stepp } }", env)
    local four = {}
    for q = 0, 3 do
      local s, p, d = "s" .. q, "p" .. q, "q" .. q
      local o = d .. "[j] = " .. (sc.outp or out):gsub("%$p", p):gsub("%f[%w_]s%f[^%w_]", s) .. ";"
      local a = s .. " += " .. subst(tn, p .. "[j]") .. ";"
      four[q + 1] = sc.before and (o .. " " .. a) or (a .. " " .. o)
    end
    env.four = table.concat(four, " ")
    local rows4 = fill([[int i = 0;
      for (; i + 3 < m; i += 4) {
        const float *p0 = x + i * n, *p1 = p0 + n, *p2 = p1 + n, *p3 = p2 + n;
        float *q0 = y + i * n, *q1 = q0 + n, *q2 = q1 + n, *q3 = q2 + n;
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        $loop { $four }
      }
      for (; i < m; i++) { float s = 0.0f; $loop { $stepx } }]], env)
    local body
    if quad then
      local form = r:int(1, 2)
      if form == 1 or out ~= "s" then
        body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int l = $lo; $test; l++) { s += $tk; } y[i * n + j] = $out; } }", env)
      else
        body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + j] = 0.0f; for (int l = $lo; $test; l++) { y[i * n + j] += $tk; } } }", env)
      end
    else
      body = running
    end
    local mild, strong = {}, { rows4 }
    if quad then
      strong = { running, pointer }
      if r:chance(0.5) then strong[3] = rows4 end
    else
      mild = { pointer }
    end
    return { sig = "x[m,n]" .. (sc.w and ", w[n]" or "") .. " -> y[m,n]", sizes = quad and r:pick(SIZES) or r:pick(LONG), body = body, mild = mild, strong = strong }
  end, sc.l1)
end

def("scan_extreme", 5, function(r)
  local big, rev = r:chance(0.6), r:chance(0.3)
  local t = r:pick { "v", "v", "fabsf(v)", "-v" }
  local env = { f = big and "fmaxf" or "fminf", sg = big and ">" or "<", st = big and "-1e30f" or "1e30f", tk = subst(t, "x[i * n + l]"), tj = subst(t, "x[i * n + j]"), lo = rev and "j" or "0", hi = rev and "l < n" or "l <= j",
    loop = rev and "for (int j = n - 1; j >= 0; j--)" or "for (int j = 0; j < n; j++)" }
  local quad = r:chance(0.5)
  return { sig = "x[m,n] -> y[m,n]", sizes = quad and r:pick(SIZES) or r:pick(LONG),
    body = quad and fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = $st; for (int l = $lo; $hi; l++) { s = $f(s, $tk); } y[i * n + j] = s; } }", env) or fill("for (int i = 0; i < m; i++) { float s = $st; $loop { s = $f(s, $tj); y[i * n + j] = s; } }", env),
    mild = {}, strong = { fill("for (int i = 0; i < m; i++) { float s = $st; $loop { float v = $tj; s = v $sg s ? v : s; y[i * n + j] = s; } }", env) } }
end)
local DECAY = { "0.9f", "0.5f", "0.8f", "0.95f" }
def("scan_decay", 5, function(r) -- s = d s + x: written from scratch with a running power, or as it is
  local d = r:pick(DECAY)
  local gain = r:pick { "", "0.1f * ", "2.0f * " }
  local quad = r:chance(0.5)
  local rows4 = fill([[int i = 0;
    for (; i + 3 < m; i += 4) {
      const float *p0 = x + i * n, *p1 = p0 + n, *p2 = p1 + n, *p3 = p2 + n;
      float *q0 = y + i * n, *q1 = q0 + n, *q2 = q1 + n, *q3 = q2 + n;
      float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
      for (int j = 0; j < n; j++) { s0 = $d * s0 + $gp0[j]; s1 = $d * s1 + $gp1[j]; s2 = $d * s2 + $gp2[j]; s3 = $d * s3 + $gp3[j]; q0[j] = s0; q1[j] = s1; q2[j] = s2; q3[j] = s3; }
    }
    for (; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s = $d * s + $gx[i * n + j]; y[i * n + j] = s; } }]], { d = d, gp0 = gain .. "p0", gp1 = gain .. "p1", gp2 = gain .. "p2", gp3 = gain .. "p3", gx = gain .. "x" })
  local running = fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s = $d * s + $gx[i * n + j]; y[i * n + j] = s; } }", { d = d, gx = gain .. "x" })
  local pointer = fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; float s = 0.0f; for (int j = 0; j < n; j++) { s = $d * s + $gp[j]; q0[j] = s; } }", { d = d, gp = gain .. "p0" })
  return { sig = "x[m,n] -> y[m,n]", sizes = quad and r:pick(SIZES) or r:pick(LONG),
    body = quad and fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int l = 0; l <= j; l++) { s = $d * s + $gx[i * n + l]; } y[i * n + j] = s; } }", { d = d, gx = gain .. "x" }) or running,
    mild = quad and {} or { pointer }, strong = quad and { running, pointer } or { rows4 } }
end)
def("scan_window", 4, function(r)
  local w = r:pick { 8, 16, 5, 32 }
  local o = r:pick { "s", "s / $w.0f", "0.5f * s" }
  local env = { w = w, wm = w - 1, o = fill(o, { w = w }) }
  return { sig = "x[m,n] -> y[m,n]", sizes = "m=48,n=512",
    body = fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int l = j - $wm; l <= j; l++) { if (l >= 0) { s += x[i * n + l]; } } y[i * n + j] = $o; } }", env),
    mild = { fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { int lo = j < $wm ? 0 : j - $wm; float s = 0.0f; for (int l = lo; l <= j; l++) { s += x[i * n + l]; } y[i * n + j] = $o; } }", env) },
    strong = { fill("for (int i = 0; i < m; i++) { const float *p0 = x + i * n; float *q0 = y + i * n; for (int j = 0; j < n; j++) { q0[j] = 0.0f; } for (int l = 0; l < $w; l++) { for (int j = l; j < n; j++) { q0[j] += p0[j - l]; } } $fin }", { w = w, fin = o == "s" and "" or fill("for (int j = 0; j < n; j++) { float s = q0[j]; q0[j] = $o; }", env) }) } }
end)
def("scan_outer", 1, function(r) -- along the first axis
  local t = r:pick { "v * v", "fabsf(v)", "0.5f * v + 1.0f", "(v > 0.0f ? v : 0.0f)" }
  local env = { t = subst(t, "x[l * n + j]"), ti = subst(t, "x[i * n + j]") }
  local quad = r:chance(0.5)
  return { sig = "x[m,n] -> y[m,n]", sizes = quad and "m=60,n=100" or "m=256,n=256",
    body = fill(quad and "for (int j = 0; j < n; j++) { for (int i = 0; i < m; i++) { float s = 0.0f; for (int l = 0; l <= i; l++) { s += $t; } y[i * n + j] = s; } }" or "for (int j = 0; j < n; j++) { float s = 0.0f; for (int i = 0; i < m; i++) { s += $ti; y[i * n + j] = s; } }", env), mild = {},
    strong = { fill("for (int j = 0; j < n; j++) { int i = 0; y[j] = $ti; } for (int i = 1; i < m; i++) { for (int j = 0; j < n; j++) { y[i * n + j] = y[(i - 1) * n + j] + $ti; } }", { ti = env.ti }) } }
end)
def("scan_two", 3, function(r)
  local op = r:pick { "x[i * n + $q] * w[i * n + $q]", "x[i * n + $q] - w[i * n + $q]", "fabsf(x[i * n + $q] - w[i * n + $q])", "x[i * n + $q] + 2.0f * w[i * n + $q]" }
  local function at(q) return fill(op, { q = q }) end
  local quad = r:chance(0.6)
  return { sig = "x[m,n], w[m,n] -> y[m,n]", sizes = quad and r:pick(SIZES) or r:pick(LONG),
    body = quad and fill("for (int i = 0; i < m; i++) { for (int j = 0; j < n; j++) { float s = 0.0f; for (int l = 0; l <= j; l++) { s += $t; } y[i * n + j] = s; } }", { t = at "l" }) or fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t; y[i * n + j] = s; } }", { t = at "j" }),
    mild = {}, strong = { fill("for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t; y[i * n + j] = s; } }", { t = at "j" }),
      fill("int i = 0; for (; i + 1 < m; i += 2) { float s0 = 0.0f, s1 = 0.0f; for (int j = 0; j < n; j++) { s0 += $t0; y[i * n + j] = s0; s1 += $t1; y[(i + 1) * n + j] = s1; } } for (; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s += $t; y[i * n + j] = s; } }", { t = at "j", t0 = at "j", t1 = at("j"):gsub("i %* n", "(i + 1) * n") }) } }
end)
def("scan_recurrence", 3, function(r) -- gates that vary by position
  return { sig = "x[m,n], g[n] -> y[m,n]", sizes = r:pick(LONG),
    body = "for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s = s / (1.0f + g[j] * g[j]) + x[i * n + j]; y[i * n + j] = s; } }", mild = {},
    strong = { "int i = 0; for (; i + 3 < m; i += 4) { const float *p0 = x + i * n, *p1 = p0 + n, *p2 = p1 + n, *p3 = p2 + n; float *q0 = y + i * n, *q1 = q0 + n, *q2 = q1 + n, *q3 = q2 + n; float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f; for (int j = 0; j < n; j++) { float c = 1.0f / (1.0f + g[j] * g[j]); s0 = s0 * c + p0[j]; s1 = s1 * c + p1[j]; s2 = s2 * c + p2[j]; s3 = s3 * c + p3[j]; q0[j] = s0; q1[j] = s1; q2[j] = s2; q3[j] = s3; } } for (; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) { s = s / (1.0f + g[j] * g[j]) + x[i * n + j]; y[i * n + j] = s; } }" } }
end)
return defs
