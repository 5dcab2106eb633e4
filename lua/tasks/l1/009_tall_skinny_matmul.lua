-- SPDX-License-Identifier: Apache-2.0
-- Tall A (m x k) times wide B (k x m).
return {
  id = 9, name = "tall_skinny_matmul", level = 1, family = "matmul",
  title = "9_Tall_skinny_matrix_multiplication_",
  sizes = {
    cpu = { m = 173, k = 29 },
    hidden = { m = 23, k = 5 },
    search = { m = 4096, k = 32 },
    full = { m = 32768, k = 32 },
  },
  size_order = { "m", "k" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "m", "k" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "k", "m" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "m", "m" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (2 * m * k + m * m)", flops = "2 * m * m * k",
  body = [[
  for (int i = 0; i < m; i++)
    for (int j = 0; j < m; j++) {
      float sum = 0.0f;
      for (int p = 0; p < k; p++)
        sum += a[i * k + p] * b[p * m + j];
      c[i * m + j] = sum;
    }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= m; i += 4) {
    float *restrict c0 = c + i * m;
    float *restrict c1 = c0 + m;
    float *restrict c2 = c1 + m;
    float *restrict c3 = c2 + m;
    for (int j = 0; j < m; j++)
      c0[j] = c1[j] = c2[j] = c3[j] = 0.0f;
    for (int p = 0; p < k; p++) {
      const float *restrict q = b + p * m;
      float v0 = a[i * k + p], v1 = a[(i + 1) * k + p], v2 = a[(i + 2) * k + p], v3 = a[(i + 3) * k + p];
      #pragma omp simd
      for (int j = 0; j < m; j++) {
        c0[j] += v0 * q[j];
        c1[j] += v1 * q[j];
        c2[j] += v2 * q[j];
        c3[j] += v3 * q[j];
      }
    }
  }
  for (; i < m; i++) {
    float *restrict row = c + i * m;
    for (int j = 0; j < m; j++)
      row[j] = 0.0f;
    for (int p = 0; p < k; p++) {
      float v = a[i * k + p];
      const float *restrict q = b + p * m;
      #pragma omp simd
      for (int j = 0; j < m; j++)
        row[j] += v * q[j];
    }
  }]],
}
