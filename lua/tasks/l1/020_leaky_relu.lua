-- SPDX-License-Identifier: Apache-2.0
-- x or slope x, slope 0.01.
return {
  id = 20, name = "leaky_relu", level = 1, family = "elementwise",
  title = "20_LeakyReLU",
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
  scalars = { { name = "slope", type = "f32", value = 0.01 } },
  rtol = 0, atol = 0,
  bytes = "8 * n", flops = "n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = fmaxf(x[i], 0.0f) + slope * fminf(x[i], 0.0f);]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : slope * x[i];]],
}
