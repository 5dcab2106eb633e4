-- SPDX-License-Identifier: Apache-2.0
-- Depthwise 3 x 3 with padding 1, then pointwise 1 x 1. c is at most 64.
return {
  id = 86, name = "separable_conv2d", level = 1, family = "convolution",
  title = "86_conv_depthwise_separable_2D",
  sizes = {
    cpu = { n = 1, c = 16, co = 37, h = 33, w = 41 },
    hidden = { n = 2, c = 3, co = 4, h = 5, w = 6 },
    search = { n = 1, c = 64, co = 128, h = 512, w = 512 },
    full = { n = 16, c = 64, co = 128, h = 512, w = 512 },
  },
  size_order = { "n", "c", "co", "h", "w" },
  range = { c = { 1, 64 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "depth", role = "weight", dtype = "f32", shape = { "c", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "9" },
    { name = "point", role = "weight", dtype = "f32", shape = { "co", "c" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "c" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h", "w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * (c + co) * h * w + 9 * c + co * c)", flops = "2 * n * h * w * c * (9 + co)",
  body = [[
  for (int b = 0; b < n; b++)
    for (int i = 0; i < h; i++)
      for (int j = 0; j < w; j++) {
        float mid[64];
        for (int k = 0; k < c; k++) {
          mid[k] = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 3; q++) {
              int u = i + p - 1, v = j + q - 1;
              if (u >= 0 && u < h && v >= 0 && v < w)
                mid[k] += x[((b * c + k) * h + u) * w + v] * depth[(k * 3 + p) * 3 + q];
            }
        }
        for (int o = 0; o < co; o++) {
          float sum = 0.0f;
          for (int k = 0; k < c; k++)
            sum += mid[k] * point[o * c + k];
          y[((b * co + o) * h + i) * w + j] = sum;
        }
      }]],
  tuned = [[
  for (int b = 0; b < n; b++)
    for (int i = 0; i < h; i++) {
      for (int o = 0; o < co; o++)
        for (int j = 0; j < w; j++)
          y[((b * co + o) * h + i) * w + j] = 0.0f;
      for (int j0 = 0; j0 < w; j0 += 64) {
        int len = w - j0 < 64 ? w - j0 : 64;
        for (int k = 0; k < c; k++) {
          float mid[64] = {0};
          for (int p = 0; p < 3; p++) {
            int u = i + p - 1;
            if (u < 0 || u >= h)
              continue;
            const float *restrict in = x + ((b * c + k) * h + u) * w;
            for (int q = 0; q < 3; q++) {
              float w0 = depth[(k * 3 + p) * 3 + q];
              int at = j0 + q - 1;
              int lo = at < 0 ? 1 : 0, hi = w - at < len ? w - at : len;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                mid[j] += w0 * in[at + j];
            }
          }
          for (int o = 0; o < co; o++) {
            float w0 = point[o * c + k];
            float *restrict out = y + ((b * co + o) * h + i) * w + j0;
            #pragma omp simd
            for (int j = 0; j < len; j++)
              out[j] += w0 * mid[j];
          }
        }
      }
    }]],
}
