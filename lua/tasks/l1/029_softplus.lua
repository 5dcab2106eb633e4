-- SPDX-License-Identifier: Apache-2.0
-- log(1 + exp(x)), x itself above 20 (beta 1, threshold 20).
return {
  id = 29, name = "softplus", level = 1, family = "elementwise",
  title = "29_Softplus",
  sizes = {
    cpu = { n = 50021 },
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
  bytes = "8 * n", flops = "4 * n",
  body = [[
  for (int i = 0; i < n; i++) {
    if (x[i] > 20.0f)
      y[i] = x[i];
    else
      y[i] = log1pf(expf(x[i]));
  }]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float v = x[i];
    float a = v < 0.0f ? v : -v;
    float e_t = a;
    e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
    float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
    float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
    float e_p = 0.0083333333f + e_f * 0.0013888889f;
    e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
    union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
    float e = e_p * e_s.f;
    float z = e / (2.0f + e);
    float q = z * z;
    float p = 1.0f + q * (0.33333333f + q * (0.2f +
        q * (0.14285714f + q * (0.11111111f + q * (0.09090909f + q * 0.08f)))));
    y[i] = v > 20.0f ? v : (v > 0.0f ? v : 0.0f) + 2.0f * z * p;
  }]],
}
