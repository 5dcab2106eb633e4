-- SPDX-License-Identifier: Apache-2.0
-- One product per batch entry.
return {
  id = 3, name = "batched_matmul", level = 1, family = "matmul",
  title = "3_Batched_matrix_multiplication",
  sizes = {
    cpu = { batch = 7, m = 41, k = 79, n = 67 },
    hidden = { batch = 2, m = 5, k = 7, n = 11 },
    search = { batch = 4, m = 512, k = 1024, n = 1024 },
    full = { batch = 128, m = 512, k = 1024, n = 2048 },
  },
  size_order = { "batch", "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "batch", "m", "k" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "batch", "k", "n" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "batch", "m", "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * batch * (m * k + k * n + m * n)", flops = "2 * batch * m * n * k",
  body = [[
  for (int t = 0; t < batch; t++)
    for (int i = 0; i < m; i++)
      for (int j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int p = 0; p < k; p++)
          sum += a[(t * m + i) * k + p] * b[(t * k + p) * n + j];
        c[(t * m + i) * n + j] = sum;
      }]],
  tuned = [[
  for (int r = 0; r < batch * m; r++) {
    const float *restrict u = a + r * k;
    float *restrict row = c + r * n;
    for (int j = 0; j < n; j++)
      row[j] = 0.0f;
    for (int p = 0; p < k; p++) {
      float v = u[p];
      const float *restrict q = b + (r / m * k + p) * n;
      #pragma omp simd
      for (int j = 0; j < n; j++)
        row[j] += v * q[j];
    }
  }]],
}
