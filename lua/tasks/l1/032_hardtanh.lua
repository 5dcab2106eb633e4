-- SPDX-License-Identifier: Apache-2.0
-- x clamped to [-1, 1]. The benchmark's inputs lie inside.
return {
  id = 32, name = "hardtanh", level = 1, family = "elementwise",
  title = "32_HardTanh",
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
  rtol = 0, atol = 0,
  bytes = "8 * n", flops = "2 * n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = fmaxf(-1.0f, fminf(1.0f, x[i]));]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float v = x[i] < 1.0f ? x[i] : 1.0f;
    y[i] = v > -1.0f ? v : -1.0f;
  }]],
}
