-- SPDX-License-Identifier: Apache-2.0
-- Matrix times a scalar, s = 3.14. Bound by memory: there is next to nothing to win here.
return {
  id = 5, name = "scale_matrix", level = 1, family = "elementwise",
  title = "5_Matrix_scalar_multiplication",
  sizes = {
    cpu = { n = 100003 },
    hidden = { n = 1003 },
    search = { n = 25165824 },
    full = { n = 1073741824 },
  },
  size_order = { "n" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n" }, dist = { "uniform", "normal", "edges", "tiny" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n" } },
  },
  scalars = { { name = "s", type = "f32", value = 3.14 } },
  rtol = 0, atol = 0,
  bytes = "8 * n", flops = "n",
  body = [[
  for (int i = 0; i < n; i++)
    y[i] = x[i] * s;]],
  tuned = [[
  #pragma omp simd
  for (int i = 0; i < n; i++)
    y[i] = x[i] * s;]],
}
