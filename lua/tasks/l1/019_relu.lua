-- SPDX-License-Identifier: Apache-2.0
-- max(x, 0). The benchmark's inputs are never negative, so a copy passes there.
return {
  id = 19, name = "relu", level = 1, family = "elementwise",
  title = "19_ReLU",
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
  bytes = "8 * n", flops = "n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = fmaxf(x[i], 0.0f);]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;]],
}
