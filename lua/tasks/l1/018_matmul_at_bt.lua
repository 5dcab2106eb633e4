-- SPDX-License-Identifier: Apache-2.0
-- C = A^T B^T, A stored k x m, B stored n x k.
return {
  id = 18, name = "matmul_at_bt", level = 1, family = "matmul",
  title = "18_Matmul_with_transposed_both",
  sizes = {
    cpu = { m = 53, k = 211, n = 71 },
    hidden = { m = 13, k = 29, n = 11 },
    search = { m = 512, k = 512, n = 1024 },
    full = { m = 2048, k = 8192, n = 4096 },
  },
  size_order = { "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "k", "m" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "n", "k" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "m", "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (m * k + k * n + m * n)", flops = "2 * m * n * k",
  body = [[
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0.0f;
      for (int p = 0; p < k; p++)
        sum += a[p * m + i] * b[j * k + p];
      c[i * n + j] = sum;
    }]],
  tuned = [[
  for (int i0 = 0; i0 < m; i0 += 64) {
    int w = m - i0 < 64 ? m - i0 : 64;
    for (int j = 0; j < n; j++) {
      float acc[64] = {0};
      for (int p = 0; p < k; p++) {
        float v = b[j * k + p];
        const float *restrict u = a + p * m + i0;
        #pragma omp simd
        for (int i = 0; i < w; i++)
          acc[i] += v * u[i];
      }
      for (int i = 0; i < w; i++)
        c[(i0 + i) * n + j] = acc[i];
    }
  }]],
}
