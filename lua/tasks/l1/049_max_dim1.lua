-- SPDX-License-Identifier: Apache-2.0
-- Maximum over dimension 1.
return {
  id = 49, name = "max_dim1", level = 1, family = "reduction",
  title = "49_Max_reduction_over_a_dimension",
  sizes = {
    cpu = { b = 3, n = 181, m = 331 },
    hidden = { b = 2, n = 13, m = 37 },
    search = { b = 4, n = 4096, m = 4095 },
    full = { b = 128, n = 4096, m = 4095 },
  },
  size_order = { "b", "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "b", "n", "m" },
      dist = { "uniform", "normal", "offset", "needle", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "b", "m" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * b * n * m + 4 * b * m", flops = "b * n * m",
  body = [[
  for (int t = 0; t < b; t++)
    for (int j = 0; j < m; j++) {
      float max = x[t * n * m + j];
      for (int i = 0; i < n; i++)
        max = fmaxf(max, x[(t * n + i) * m + j]);
      y[t * m + j] = max;
    }]],
  tuned = [[
  for (int t = 0; t < b; t++) {
    const float *restrict in = x + t * n * m;
    float *restrict out = y + t * m;
    for (int j = 0; j < m; j++)
      out[j] = in[j];
    for (int i = 1; i < n; i++) {
      const float *restrict row = in + i * m;
      #pragma omp simd
      for (int j = 0; j < m; j++)
        out[j] = row[j] > out[j] ? row[j] : out[j];
    }
  }]],
}
