-- SPDX-License-Identifier: Apache-2.0
-- C = A B^T, B stored n x k.
return {
  id = 17, name = "matmul_bt", level = 1, family = "matmul",
  title = "17_Matmul_with_transposed_B",
  sizes = {
    cpu = { m = 61, k = 211, n = 83 },
    hidden = { m = 13, k = 29, n = 11 },
    search = { m = 512, k = 512, n = 1024 },
    full = { m = 2048, k = 8192, n = 4096 },
  },
  size_order = { "m", "k", "n" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "m", "k" },
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
        sum += a[i * k + p] * b[j * k + p];
      c[i * n + j] = sum;
    }]],
  tuned = [[
  for (int i = 0; i < m; i++) {
    const float *restrict u = a + i * k;
    int j = 0;
    for (; j + 4 <= n; j += 4) {
      const float *restrict q = b + j * k;
      float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
      #pragma omp simd reduction(+ : s0, s1, s2, s3)
      for (int p = 0; p < k; p++) {
        s0 += u[p] * q[p];
        s1 += u[p] * q[k + p];
        s2 += u[p] * q[2 * k + p];
        s3 += u[p] * q[3 * k + p];
      }
      c[i * n + j] = s0;
      c[i * n + j + 1] = s1;
      c[i * n + j + 2] = s2;
      c[i * n + j + 3] = s3;
    }
    for (; j < n; j++) {
      float s = 0.0f;
      #pragma omp simd reduction(+ : s)
      for (int p = 0; p < k; p++)
        s += u[p] * b[j * k + p];
      c[i * n + j] = s;
    }
  }]],
}
