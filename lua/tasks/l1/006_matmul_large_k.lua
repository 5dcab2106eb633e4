-- SPDX-License-Identifier: Apache-2.0
-- C = A B with a very long inner dimension: the order of the sum matters.
return {
  id = 6, name = "matmul_large_k", level = 1, family = "matmul",
  title = "6_Matmul_with_large_K_dimension_",
  sizes = {
    cpu = { m = 13, k = 4099, n = 17 },
    hidden = { m = 3, k = 517, n = 5 },
    search = { m = 256, k = 32768, n = 256 },
    full = { m = 256, k = 524288, n = 256 },
  },
  size_order = { "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "m", "k" },
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
        sum += a[i * k + p] * b[p * n + j];
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
      float v0 = a[i * k + p], v1 = a[(i + 1) * k + p], v2 = a[(i + 2) * k + p], v3 = a[(i + 3) * k + p];
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
      float v = a[i * k + p];
      const float *restrict q = b + p * n;
      #pragma omp simd
      for (int j = 0; j < n; j++)
        row[j] += v * q[j];
    }
  }]],
}
