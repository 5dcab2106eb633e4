-- SPDX-License-Identifier: Apache-2.0
-- GELU by tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
return {
  id = 88, name = "gelu_tanh", level = 1, family = "elementwise",
  title = "88_MinGPTNewGelu",
  sizes = {
    cpu = { n = 23003 },
    hidden = { n = 1003 },
    search = { n = 33554432 },
    full = { n = 67108864 },
  },
  size_order = { "n" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n" },
      dist = { "uniform", "normal", "wide", "edges", "tiny" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n", flops = "8 * n",
  body = [[
  for (int i = 0; i < n; i++) {
    float cube = powf(x[i], 3.0f);
    y[i] = 0.5f * x[i] * (1.0f + tanhf(0.79788456f * (x[i] + 0.044715f * cube)));
  }]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float v = x[i];
    float z = 1.59576912f * (v + 0.044715f * v * v * v);
    float e_t = -z;
    e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
    float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
    float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
    float e_p = 0.0083333333f + e_f * 0.0013888889f;
    e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
    union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
    float e = e_p * e_s.f;
    y[i] = v / (1.0f + e);
  }]],
}
