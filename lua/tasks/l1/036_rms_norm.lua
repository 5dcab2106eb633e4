-- SPDX-License-Identifier: Apache-2.0
-- Root mean square over the channels (dimension 1), position by position; no weight.
return {
  id = 36, name = "rms_norm", level = 1, family = "norm",
  title = "36_RMSNorm_",
  sizes = {
    cpu = { n = 7, c = 64, s = 169 },
    hidden = { n = 2, c = 8, s = 37 },
    search = { n = 2, c = 64, s = 262144 },
    full = { n = 112, c = 64, s = 262144 },
  },
  size_order = { "n", "c", "s" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "s" },
      dist = { "uniform", "normal", "offset", "tiny", "constant", "rowscale", "needle" }, block = "c * s" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "s" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * c * s", flops = "4 * n * c * s",
  body = [[
  for (int b = 0; b < n; b++)
    for (int i = 0; i < s; i++) {
      float sum = 0.0f;
      for (int k = 0; k < c; k++)
        sum += x[(b * c + k) * s + i] * x[(b * c + k) * s + i];
      for (int k = 0; k < c; k++)
        y[(b * c + k) * s + i] = x[(b * c + k) * s + i] / sqrtf(sum / (float)c + eps);
    }]],
  tuned = [[
  for (int b = 0; b < n; b++)
    for (int i0 = 0; i0 < s; i0 += 256) {
      int w = s - i0 < 256 ? s - i0 : 256;
      float sum[256] = {0};
      for (int k = 0; k < c; k++) {
        const float *restrict row = x + (b * c + k) * s + i0;
        #pragma omp simd
        for (int i = 0; i < w; i++)
          sum[i] += row[i] * row[i];
      }
      #pragma omp simd
      for (int i = 0; i < w; i++)
        sum[i] = 1.0f / sqrtf(sum[i] / (float)c + eps);
      for (int k = 0; k < c; k++) {
        int p = (b * c + k) * s + i0;
        #pragma omp simd
        for (int i = 0; i < w; i++)
          y[p + i] = x[p + i] * sum[i];
      }
    }]],
}
