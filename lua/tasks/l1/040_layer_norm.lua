-- SPDX-License-Identifier: Apache-2.0
-- Each row (the last three dimensions flattened) normalised, affine per element.
return {
  id = 40, name = "layer_norm", level = 1, family = "norm",
  title = "40_LayerNorm",
  sizes = {
    cpu = { n = 23, m = 3701 },
    hidden = { n = 3, m = 67 },
    search = { n = 4, m = 4194304 },
    full = { n = 16, m = 4194304 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "tiny", "constant", "rowscale", "needle" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "m" }, dist = { "uniform", "normal" } },
    { name = "bias", role = "weight", dtype = "f32", shape = { "m" }, dist = { "uniform", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * m + 8 * m", flops = "8 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float mean = 0.0f, var = 0.0f;
    for (int j = 0; j < m; j++)
      mean += x[i * m + j];
    mean /= (float)m;
    for (int j = 0; j < m; j++)
      var += (x[i * m + j] - mean) * (x[i * m + j] - mean);
    for (int j = 0; j < m; j++)
      y[i * m + j] = (x[i * m + j] - mean) / sqrtf(var / (float)m + eps) * weight[j] + bias[j];
  }]],
  tuned = [[
  for (int r = 0; r < n; r++) {
    const float *restrict in = x + r * m;
    float *restrict out = y + r * m;
    float mean = 0.0f, var = 0.0f;
    #pragma omp simd reduction(+ : mean)
    for (int i = 0; i < m; i++)
      mean += in[i];
    mean /= (float)(m);
    #pragma omp simd reduction(+ : var)
    for (int i = 0; i < m; i++)
      var += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(var / (float)(m) + eps);
    #pragma omp simd
    for (int i = 0; i < m; i++)
      out[i] = (in[i] - mean) * scale * weight[i] + bias[i];
  }]],
}
