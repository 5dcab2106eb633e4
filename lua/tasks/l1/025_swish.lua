-- SPDX-License-Identifier: Apache-2.0
-- x sigmoid(x).
return {
  id = 25, name = "swish", level = 1, family = "elementwise",
  title = "25_Swish",
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
    y[i] = x[i] * (1.0f / (1.0f + expf(-x[i])));]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float e_t = -x[i];
    e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
    float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
    float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
    float e_p = 0.0083333333f + e_f * 0.0013888889f;
    e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
    union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
    float e = e_p * e_s.f;
    y[i] = x[i] / (1.0f + e);
  }]],
}
