-- SPDX-License-Identifier: Apache-2.0
-- Batch statistics (a fresh module trains), biased variance, affine. The running statistics that the module also
-- updates are not part of its output.
return {
  id = 33, name = "batch_norm", level = 1, family = "norm",
  title = "33_BatchNorm",
  sizes = {
    cpu = { n = 11, c = 18, s = 441 },
    hidden = { n = 3, c = 6, s = 49 },
    search = { n = 8, c = 64, s = 262144 },
    full = { n = 64, c = 64, s = 262144 },
  },
  size_order = { "n", "c", "s" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "s" },
      dist = { "uniform", "normal", "offset", "tiny", "flat", "needle" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "bias", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "s" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * c * s + 8 * c", flops = "7 * n * c * s",
  body = [[
  for (int k = 0; k < c; k++) {
    float mean = 0.0f, var = 0.0f;
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++)
        mean += x[(b * c + k) * s + i];
    mean /= (float)(n * s);
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++) {
        float d = x[(b * c + k) * s + i] - mean;
        var += d * d;
      }
    var /= (float)(n * s);
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++) {
        int p = (b * c + k) * s + i;
        y[p] = (x[p] - mean) / sqrtf(var + eps) * weight[k] + bias[k];
      }
  }]],
  tuned = [[
  for (int k = 0; k < c; k++) {
    float mean = 0.0f, var = 0.0f;
    for (int b = 0; b < n; b++) {
      const float *restrict row = x + (b * c + k) * s;
      #pragma omp simd reduction(+ : mean)
      for (int i = 0; i < s; i++)
        mean += row[i];
    }
    mean /= (float)(n * s);
    for (int b = 0; b < n; b++) {
      const float *restrict row = x + (b * c + k) * s;
      #pragma omp simd reduction(+ : var)
      for (int i = 0; i < s; i++)
        var += (row[i] - mean) * (row[i] - mean);
    }
    float scale = weight[k] / sqrtf(var / (float)(n * s) + eps);
    for (int b = 0; b < n; b++) {
      int p = (b * c + k) * s;
      #pragma omp simd
      for (int i = 0; i < s; i++)
        y[p + i] = (x[p + i] - mean) * scale + bias[k];
    }
  }]],
}
