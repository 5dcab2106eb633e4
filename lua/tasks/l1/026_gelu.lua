-- SPDX-License-Identifier: Apache-2.0
-- Exact GELU: x Phi(x), by erf.
return {
  id = 26, name = "gelu", level = 1, family = "elementwise",
  title = "26_GELU_",
  sizes = {
    cpu = { n = 50021 },
    hidden = { n = 1003 },
    search = { n = 50331648 },
    full = { n = 1610612736 },
  },
  size_order = { "n" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n" },
      dist = { "uniform", "normal", "wide", "edges", "tiny", "constant" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n", flops = "5 * n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = 0.5f * x[i] * (1.0f + erff(x[i] / sqrtf(2.0f)));]],
  tuned = [[
  for (int i = 0; i < n; i++)
    y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));]],
}
