-- SPDX-License-Identifier: Apache-2.0
-- C = diag(a) B. The baseline multiplies by the full diagonal matrix: algebra wins a factor n.
return {
  id = 12, name = "diag_matmul", level = 1, family = "matmul",
  title = "12_Matmul_with_diagonal_matrices_",
  sizes = {
    cpu = { n = 97, m = 101 },
    hidden = { n = 23, m = 29 },
    search = { n = 512, m = 4096 },
    full = { n = 4096, m = 4096 },
  },
  size_order = { "n", "m" },
  range = { n = { 1, 1024 } },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "n" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n + 2 * n * m)", flops = "n * m",
  body = [[
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) {
      float sum = 0.0f;
      for (int p = 0; p < n; p++)
        sum += (p == i ? a[p] : 0.0f) * b[p * m + j];
      c[i * m + j] = sum;
    }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    float v = a[i];
    #pragma omp simd
    for (int j = 0; j < m; j++)
      c[i * m + j] = v * b[i * m + j];
  }]],
}
