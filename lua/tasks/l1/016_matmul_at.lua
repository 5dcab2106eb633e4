-- SPDX-License-Identifier: Apache-2.0
-- C = A^T B, A stored k x m.
return {
  id = 16, name = "matmul_at", level = 1, family = "matmul",
  title = "16_Matmul_with_transposed_A",
  sizes = {
    cpu = { m = 43, k = 211, n = 71 },
    hidden = { m = 13, k = 29, n = 11 },
    search = { m = 1024, k = 1024, n = 1024 },
    full = { m = 2048, k = 8192, n = 4096 },
  },
  size_order = { "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "k", "m" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "k", "n" },
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
        sum += a[p * m + i] * b[p * n + j];
      c[i * n + j] = sum;
    }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= m; i += 4) {
    float *restrict c0 = c + i * n;
    float *restrict c1 = c0 + n;
    float *restrict c2 = c1 + n;
    float *restrict c3 = c2 + n;
    for (int j = 0; j < n; j++)
      c0[j] = c1[j] = c2[j] = c3[j] = 0.0f;
    for (int p = 0; p < k; p++) {
      const float *restrict q = b + p * n;
      float v0 = a[p * m + i], v1 = a[p * m + i + 1], v2 = a[p * m + i + 2], v3 = a[p * m + i + 3];
      #pragma omp simd
      for (int j = 0; j < n; j++) {
        c0[j] += v0 * q[j];
        c1[j] += v1 * q[j];
        c2[j] += v2 * q[j];
        c3[j] += v3 * q[j];
      }
    }
  }
  for (; i < m; i++) {
    float *restrict row = c + i * n;
    for (int j = 0; j < n; j++)
      row[j] = 0.0f;
    for (int p = 0; p < k; p++) {
      float v = a[p * m + i];
      const float *restrict q = b + p * n;
      #pragma omp simd
      for (int j = 0; j < n; j++)
        row[j] += v * q[j];
    }
  }]],
}
