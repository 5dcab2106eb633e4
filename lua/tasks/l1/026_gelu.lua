-- SPDX-License-Identifier: Apache-2.0
-- Exact GELU: x Phi(x), by erf.
return {
  id = 26, name = "gelu", level = 1, family = "elementwise",
  title = "26_GELU_",
  sizes = {
    cpu = { n = 80021 },
    hidden = { n = 1003 },
    search = { n = 25165824 },
    full = { n = 1610612736 },
  },
  size_order = { "n" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n" },
      dist = { "uniform", "normal", "wide", "edges", "tiny" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n", flops = "5 * n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = 0.5f * x[i] * (1.0f + erff(x[i] / sqrtf(2.0f)));]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float v = x[i];
    float a = (v < 0.0f ? -v : v) * 0.70710678f;
    float t = 1.0f / (1.0f + 0.3275911f * a);
    float q = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    float e_t = -a * a;
    e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
    float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
    float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
    float e_p = 0.0083333333f + e_f * 0.0013888889f;
    e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
    union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
    float e = e_p * e_s.f;
    q = q * e;
    y[i] = 0.5f * v * (v < 0.0f ? q : 2.0f - q);
  }]],
}
