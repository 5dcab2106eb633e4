-- SPDX-License-Identifier: Apache-2.0
-- C = tril(A B), A and B lower triangular.
return {
  id = 15, name = "lower_matmul", level = 1, family = "matmul",
  title = "15_Matmul_for_lower_triangular_matrices",
  sizes = {
    cpu = { n = 127 },
    hidden = { n = 37 },
    search = { n = 1024 },
    full = { n = 4096 },
  },
  size_order = { "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "n", "n" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" }, keep = "lower" },
    { name = "b", role = "in", dtype = "f32", shape = { "n", "n" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" }, keep = "lower" },
    { name = "c", role = "out", dtype = "f32", shape = { "n", "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "8 * n * n", flops = "n * n * n / 3",
  body = [[
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0.0f;
      for (int p = 0; p < n; p++)
        sum += a[i * n + p] * b[p * n + j];
      c[i * n + j] = j <= i ? sum : 0.0f;
    }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    float *restrict row = c + i * n;
    for (int j = 0; j < n; j++)
      row[j] = 0.0f;
    for (int p = 0; p <= i; p++) {
      float v = a[i * n + p];
      const float *restrict q = b + p * n;
      #pragma omp simd
      for (int j = 0; j <= p; j++)
        row[j] += v * q[j];
    }
  }]],
}
