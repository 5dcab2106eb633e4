-- SPDX-License-Identifier: Apache-2.0
-- idiom.lua: pieces of C that many operations share, written once: the exponential and the logarithm that a compiler can
-- vectorise, loops that reduce with one chain, with four chains or with `omp simd`, and text substitution.
--
-- exp: 2^t = 2^k * 2^r with k the nearest integer and r in [-1/2, 1/2]; the polynomial is a minimax fit (relative error
-- 2.8e-6 before rounding of its coefficients). The integer is clamped, not the float, because gcc 12 threads a float clamp
-- into a branch and then refuses to vectorise. Below 2^-127 the result is 0; above 2^127 it is meaningless unless clamped.
-- log: x = 2^k * f with f in [0.707, 1.414]; log f = 2 atanh((f - 1) / (f + 1)) as a series of four terms, relative error
-- under 1e-6 also near 1, where sums of logarithms cancel.
-- Both constants are truncated to the digits that keep the error under 3e-5, the tolerance of tasks with exp or log.

local Idiom = {}

---Replaces `$name` by env.name and `$name{arg}` by env.name(arg); unknown names are errors.
function Idiom.fill(text, env)
  text = text:gsub("%$(%a%w*)(%b{})", function(name, arg)
    local f = env[name]
    if type(f) ~= "function" then return nil end
    return f(Idiom.fill(arg:sub(2, -2), env))
  end)
  return (text:gsub("%$(%a%w*)", function(name)
    local v = env[name]
    assert(v ~= nil, "no value for $" .. name)
    return tostring(v)
  end))
end

---Puts the element expression in place of the free variable `v` of a pattern: subst("v * v", "x[i]") = "x[i] * x[i]".
function Idiom.subst(pattern, value) return (pattern:gsub("%f[%w_]v%f[^%w_]", (value:gsub("%%", "%%%%")))) end

local fill = Idiom.fill

---Statements that leave exp(arg) in `out`. `high` also clamps large arguments (for 1 / (1 + exp) forms).
function Idiom.exp(arg, out, high)
  return fill([[
float tt = 1.442695f * ($arg);
int ke = (int)(tt + 127.5f);
ke = ke < 0 ? 0 : $high;
float fr = tt - (ke - 127);
union { int iv; float fv; } eu;
eu.iv = ke << 23;
float $out = eu.fv * (1.0f + fr * (0.69312f + fr * (0.24024f + fr * (0.0559f + fr * 0.00958f))));
]], { arg = arg, out = out, high = high and "ke > 254 ? 254 : ke" or "ke" }):gsub("%(([%a_][%w_]*)%);", "%1;")
end

---Statements that leave log(arg) in `out`, for positive normal arguments. `tag` keeps two in one scope apart.
function Idiom.log(arg, out, tag)
  return (fill([[
union { float fv; int iv; } lu$t;
lu$t.fv = $arg;
int kx$t = (lu$t.iv - 0x3f3504f3) >> 23;
lu$t.iv -= kx$t << 23;
float dm$t = (lu$t.fv - 1.0f) / (lu$t.fv + 1.0f);
float dq$t = dm$t * dm$t;
float $out = kx$t * 0.6931472f + 2.0f * dm$t * (1.0f + dq$t * (0.33333f + dq$t * (0.2f + dq$t * 0.146f)));
]], { arg = arg, out = out, t = tag or "" }))
end

---A reduction over j < n of `term` into s; `pre` holds statements before the term; `simd` asks for vector lanes.
function Idiom.sum_loop(n, pre, term, simd)
  return fill([[
float s = 0.0f;
$pragma
for (int j = 0; j < $n; j++) { $pre s += $term; }
]], { n = n, pre = pre or "", term = term, pragma = simd and "#pragma omp simd reduction(+:s)" or "" })
end

---Four chains; `term` is a function of the index text.
function Idiom.sum_four(n, term)
  return fill([[
float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
int j = 0;
for (; j + 3 < $n; j += 4) {
  s0 += $term{j};
  s1 += $term{j + 1};
  s2 += $term{j + 2};
  s3 += $term{j + 3};
}
for (; j < $n; j++) s0 += $term{j};
float s = (s0 + s1) + (s2 + s3);
]], { n = n, term = term })
end

return Idiom
