-- SPDX-License-Identifier: Apache-2.0
-- C = A B, A and B symmetric.
return {
  id = 13, name = "symmetric_matmul", level = 1, family = "matmul",
  title = "13_Matmul_for_symmetric_matrices",
  sizes = {
    cpu = { n = 101 },
    hidden = { n = 37 },
    search = { n = 1024 },
    full = { n = 4096 },
  },
  size_order = { "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "n", "n" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" }, keep = "symmetric" },
    { name = "b", role = "in", dtype = "f32", shape = { "n", "n" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" }, keep = "symmetric" },
    { name = "c", role = "out", dtype = "f32", shape = { "n", "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "12 * n * n", flops = "2 * n * n * n",
  body = [[
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0.0f;
      for (int p = 0; p < n; p++)
        sum += a[i * n + p] * b[p * n + j];
      c[i * n + j] = sum;
    }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    float *restrict c0 = c + i * n;
    float *restrict c1 = c0 + n;
    float *restrict c2 = c1 + n;
    float *restrict c3 = c2 + n;
    for (int j = 0; j < n; j++)
      c0[j] = c1[j] = c2[j] = c3[j] = 0.0f;
    for (int p = 0; p < n; p++) {
      const float *restrict q = b + p * n;
      float v0 = a[i * n + p], v1 = a[(i + 1) * n + p], v2 = a[(i + 2) * n + p], v3 = a[(i + 3) * n + p];
      #pragma omp simd
      for (int j = 0; j < n; j++) {
        c0[j] += v0 * q[j];
        c1[j] += v1 * q[j];
        c2[j] += v2 * q[j];
        c3[j] += v3 * q[j];
      }
    }
  }
  for (; i < n; i++) {
    float *restrict row = c + i * n;
    for (int j = 0; j < n; j++)
      row[j] = 0.0f;
    for (int p = 0; p < n; p++) {
      float v = a[i * n + p];
      const float *restrict q = b + p * n;
      #pragma omp simd
      for (int j = 0; j < n; j++)
        row[j] += v * q[j];
    }
  }]],
}
