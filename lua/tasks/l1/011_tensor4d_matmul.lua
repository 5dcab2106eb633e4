-- SPDX-License-Identifier: Apache-2.0
-- einsum bijl,lk->bijk.
return {
  id = 11, name = "tensor4d_matmul", level = 1, family = "matmul",
  title = "11_4D_tensor_matrix_multiplication",
  sizes = {
    cpu = { batch = 2, h = 7, w = 9, l = 73, k = 89 },
    hidden = { batch = 2, h = 3, w = 2, l = 5, k = 7 },
    search = { batch = 1, h = 32, w = 256, l = 256, k = 768 },
    full = { batch = 8, h = 256, w = 512, l = 256, k = 768 },
  },
  size_order = { "batch", "h", "w", "l", "k" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "batch", "h", "w", "l" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "b", role = "in", dtype = "f32", shape = { "l", "k" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "c", role = "out", dtype = "f32", shape = { "batch", "h", "w", "k" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (batch * h * w * (l + k) + l * k)", flops = "2 * batch * h * w * l * k",
  body = [[
  for (int i = 0; i < batch * h * w; i++)
    for (int j = 0; j < k; j++) {
      float sum = 0.0f;
      for (int p = 0; p < l; p++)
        sum += a[i * l + p] * b[p * k + j];
      c[i * k + j] = sum;
    }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= batch * h * w; i += 4) {
    float *restrict c0 = c + i * k;
    float *restrict c1 = c0 + k;
    float *restrict c2 = c1 + k;
    float *restrict c3 = c2 + k;
    for (int j = 0; j < k; j++)
      c0[j] = c1[j] = c2[j] = c3[j] = 0.0f;
    for (int p = 0; p < l; p++) {
      const float *restrict q = b + p * k;
      float v0 = a[i * l + p], v1 = a[(i + 1) * l + p], v2 = a[(i + 2) * l + p], v3 = a[(i + 3) * l + p];
      #pragma omp simd
      for (int j = 0; j < k; j++) {
        c0[j] += v0 * q[j];
        c1[j] += v1 * q[j];
        c2[j] += v2 * q[j];
        c3[j] += v3 * q[j];
      }
    }
  }
  for (; i < batch * h * w; i++) {
    float *restrict row = c + i * k;
    for (int j = 0; j < k; j++)
      row[j] = 0.0f;
    for (int p = 0; p < l; p++) {
      float v = a[i * l + p];
      const float *restrict q = b + p * k;
      #pragma omp simd
      for (int j = 0; j < k; j++)
        row[j] += v * q[j];
    }
  }]],
}
