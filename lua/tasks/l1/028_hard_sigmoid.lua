-- SPDX-License-Identifier: Apache-2.0
-- min(max(x / 6 + 1/2, 0), 1). The benchmark's inputs never reach a clamp.
return {
  id = 28, name = "hard_sigmoid", level = 1, family = "elementwise",
  title = "28_HardSigmoid",
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
  bytes = "8 * n", flops = "4 * n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = fminf(fmaxf((x[i] + 3.0f) / 6.0f, 0.0f), 1.0f);]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++) {
    float v = (x[i] + 3.0f) * 0.16666667f;
    v = v > 0.0f ? v : 0.0f;
    y[i] = v < 1.0f ? v : 1.0f;
  }]],
}
