-- SPDX-License-Identifier: Apache-2.0
-- Logarithm of the softmax over each row.
return {
  id = 24, name = "log_softmax", level = 1, family = "softmax",
  title = "24_LogSoftmax",
  sizes = {
    cpu = { n = 37, m = 1531 },
    hidden = { n = 5, m = 67 },
    search = { n = 128, m = 393216 },
    full = { n = 4096, m = 393216 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "logits", "constant", "needle" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n * m", flops = "4 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float max = x[i * m], sum = 0.0f;
    for (int j = 1; j < m; j++)
      max = fmaxf(max, x[i * m + j]);
    for (int j = 0; j < m; j++)
      sum += expf(x[i * m + j] - max);
    for (int j = 0; j < m; j++)
      y[i * m + j] = x[i * m + j] - max - logf(sum);
  }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *restrict row = x + i * m;
    float top[8];
    for (int q = 0; q < 8; q++)
      top[q] = row[0];
    int j = 0;
    for (; j + 8 <= m; j += 8)
      for (int q = 0; q < 8; q++)
        top[q] = row[j + q] > top[q] ? row[j + q] : top[q];
    float max = top[0];
    for (int q = 1; q < 8; q++)
      max = top[q] > max ? top[q] : max;
    for (; j < m; j++)
      max = row[j] > max ? row[j] : max;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int k = 0; k < m; k++) {
      float e_t = row[k] - max;
      e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
      float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
      float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
      float e_p = 0.0083333333f + e_f * 0.0013888889f;
      e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
      union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
      float e = e_p * e_s.f;
      sum += e;
    }
    float log_sum = logf(sum);
    #pragma omp simd
    for (int k = 0; k < m; k++)
      y[i * m + k] = row[k] - max - log_sum;
  }]],
}
