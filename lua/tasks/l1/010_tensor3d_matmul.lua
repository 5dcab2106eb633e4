-- SPDX-License-Identifier: Apache-2.0
-- A (batch, m, k) times one matrix B (k, n).
return {
  id = 10, name = "tensor3d_matmul", level = 1, family = "matmul",
  title = "10_3D_tensor_matrix_multiplication",
  sizes = {
    cpu = { batch = 4, m = 31, k = 97, n = 71 },
    hidden = { batch = 2, m = 3, k = 7, n = 11 },
    search = { batch = 2, m = 1024, k = 1024, n = 768 },
    full = { batch = 16, m = 1024, k = 2048, n = 768 },
  },
  size_order = { "batch", "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "batch", "m", "k" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "k", "n" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "batch", "m", "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (batch * m * k + k * n + batch * m * n)", flops = "2 * batch * m * n * k",
  body = [[
  for (int t = 0; t < batch; t++)
    for (int i = 0; i < m; i++)
      for (int j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int p = 0; p < k; p++)
          sum += a[(t * m + i) * k + p] * b[p * n + j];
        c[(t * m + i) * n + j] = sum;
      }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= batch * m; i += 4) {
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
  for (; i < batch * m; i++) {
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
