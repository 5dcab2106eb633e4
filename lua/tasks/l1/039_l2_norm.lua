-- SPDX-License-Identifier: Apache-2.0
-- x over the Euclidean length of its row; no epsilon.
return {
  id = 39, name = "l2_norm", level = 1, family = "norm",
  title = "39_L2Norm_",
  sizes = {
    cpu = { n = 181, m = 499 },
    hidden = { n = 5, m = 67 },
    search = { n = 1024, m = 65535 },
    full = { n = 32768, m = 65535 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "tiny", "rowscale", "constant", "needle" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 0, atol = 0,
  bytes = "8 * n * m", flops = "3 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float sum = 0.0f;
    for (int j = 0; j < m; j++)
      sum += x[i * m + j] * x[i * m + j];
    for (int j = 0; j < m; j++)
      y[i * m + j] = x[i * m + j] / sqrtf(sum);
  }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *restrict row = x + i * m;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < m; j++)
      sum += row[j] * row[j];
    float scale = 1.0f / sqrtf(sum);
    #pragma omp simd
    for (int j = 0; j < m; j++)
      y[i * m + j] = row[j] * scale;
  }]],
}
