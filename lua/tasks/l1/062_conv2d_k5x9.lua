-- SPDX-License-Identifier: Apache-2.0
-- 2D convolution, 5 x 9.
return {
  id = 62, name = "conv2d_k5x9", level = 1, family = "convolution",
  title = "62_conv_standard_2D__square_input__asymmetric_kernel",
  sizes = {
    cpu = { n = 1, ci = 5, co = 7, h = 27, w = 29 },
    hidden = { n = 2, ci = 2, co = 3, h = 7, w = 11 },
    search = { n = 1, ci = 32, co = 64, h = 128, w = 128 },
    full = { n = 8, ci = 32, co = 64, h = 512, w = 512 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "5", "9" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 45" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h - 4", "w - 8" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + co * ci * 5 * 9 + n * co * (h - 4) * (w - 8))",
  flops = "2 * n * co * (h - 4) * (w - 8) * ci * 45",
  body = [[
  int oh = h - 4, ow = w - 8;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int c = 0; c < ci; c++)
            for (int p = 0; p < 5; p++)
              for (int q = 0; q < 9; q++)
                sum += x[((b * ci + c) * h + i + p) * w + j + q] * weight[((o * ci + c) * 5 + p) * 9 + q];
          y[((b * co + o) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = h - 4, ow = w - 8;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++) {
        float *restrict out = y + ((b * co + o) * oh + i) * ow;
        #pragma omp simd
        for (int j = 0; j < ow; j++)
          out[j] = 0.0f;
        for (int c = 0; c < ci; c++) {
          for (int p = 0; p < 5; p++) {
            const float *restrict in = x + ((b * ci + c) * h + i + p) * w;
            for (int q = 0; q < 9; q++) {
              float w0 = weight[((o * ci + c) * 5 + p) * 9 + q];
              #pragma omp simd
              for (int j = 0; j < ow; j++)
                out[j] += w0 * in[j + q];
            }
          }
        }
      }]],
}
