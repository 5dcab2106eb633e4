-- SPDX-License-Identifier: Apache-2.0
-- 2D convolution, 1 x 1: a matrix product over the channels.
return {
  id = 87, name = "pointwise_conv2d", level = 1, family = "convolution",
  title = "87_conv_pointwise_2D",
  sizes = {
    cpu = { n = 2, ci = 17, co = 19, h = 37, w = 41 },
    hidden = { n = 2, ci = 2, co = 3, h = 5, w = 4 },
    search = { n = 1, ci = 64, co = 128, h = 256, w = 256 },
    full = { n = 16, ci = 64, co = 128, h = 1024, w = 1024 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h", "w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * (ci + co) * h * w + co * ci)", flops = "2 * n * co * h * w * ci",
  body = [[
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
          float sum = 0.0f;
          for (int c = 0; c < ci; c++)
            sum += x[((b * ci + c) * h + i) * w + j] * weight[o * ci + c];
          y[((b * co + o) * h + i) * w + j] = sum;
        }]],
  tuned = [[
  int s = h * w;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++) {
      float *restrict out = y + (b * co + o) * s;
      for (int i = 0; i < s; i++)
        out[i] = 0.0f;
      for (int c = 0; c < ci; c++) {
        float w0 = weight[o * ci + c];
        const float *restrict in = x + (b * ci + c) * s;
        #pragma omp simd
        for (int i = 0; i < s; i++)
          out[i] += w0 * in[i];
      }
    }]],
}
