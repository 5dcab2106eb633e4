-- SPDX-License-Identifier: Apache-2.0
-- Index of the smallest element over dimension 1, the first one on ties; 64-bit integers.
return {
  id = 52, name = "argmin_dim1", level = 1, family = "reduction",
  title = "52_Argmin_over_a_dimension",
  sizes = {
    cpu = { b = 3, n = 181, m = 331 },
    hidden = { b = 2, n = 13, m = 37 },
    search = { b = 4, n = 4096, m = 4095 },
    full = { b = 128, n = 4096, m = 4095 },
  },
  size_order = { "b", "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "b", "n", "m" },
      dist = { "uniform", "normal", "offset", "needle", "ties", "constant" } },
    { name = "y", role = "out", dtype = "i64", shape = { "b", "m" }, compare = "first_index" },
  },
  rtol = 0, atol = 0,
  bytes = "4 * b * n * m + 8 * b * m", flops = "b * n * m",
  body = [[
  for (int t = 0; t < b; t++)
    for (int j = 0; j < m; j++) {
      int best = 0;
      for (int i = 1; i < n; i++)
        if (x[(t * n + i) * m + j] < x[(t * n + best) * m + j])
          best = i;
      y[t * m + j] = best;
    }]],
  tuned = [[
  for (int t = 0; t < b; t++)
    for (int j0 = 0; j0 < m; j0 += 128) {
      int w = m - j0 < 128 ? m - j0 : 128;
      float top[128];
      int at[128];
      for (int j = 0; j < w; j++) {
        top[j] = x[t * n * m + j0 + j];
        at[j] = 0;
      }
      for (int i = 1; i < n; i++) {
        const float *restrict row = x + (t * n + i) * m + j0;
        #pragma omp simd
        for (int j = 0; j < w; j++) {
          at[j] = row[j] < top[j] ? i : at[j];
          top[j] = row[j] < top[j] ? row[j] : top[j];
        }
      }
      for (int j = 0; j < w; j++)
        y[t * m + j0 + j] = at[j];
    }]],
}
