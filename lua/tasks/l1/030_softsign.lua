-- SPDX-License-Identifier: Apache-2.0
-- x / (1 + |x|).
return {
  id = 30, name = "softsign", level = 1, family = "elementwise",
  title = "30_Softsign",
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
  bytes = "8 * n", flops = "3 * n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = x[i] / (1.0f + fmaxf(x[i], -x[i]));]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++)
    y[i] = x[i] / (1.0f + fabsf(x[i]));]],
}
