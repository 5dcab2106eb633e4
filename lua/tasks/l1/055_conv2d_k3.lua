-- SPDX-License-Identifier: Apache-2.0
-- 2D convolution, 3 x 3, wide image.
return {
  id = 55, name = "conv2d_k3", level = 1, family = "convolution",
  title = "55_conv_standard_2D__asymmetric_input__square_kernel",
  sizes = {
    cpu = { n = 2, ci = 5, co = 11, h = 23, w = 41 },
    hidden = { n = 2, ci = 2, co = 3, h = 5, w = 7 },
    search = { n = 1, ci = 64, co = 128, h = 128, w = 256 },
    full = { n = 8, ci = 64, co = 128, h = 512, w = 1024 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 9" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h - 2", "w - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + co * ci * 3 * 3 + n * co * (h - 2) * (w - 2))",
  flops = "2 * n * co * (h - 2) * (w - 2) * ci * 9",
  body = [[
  int oh = h - 2, ow = w - 2;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int c = 0; c < ci; c++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 3; q++)
                sum += x[((b * ci + c) * h + i + p) * w + j + q] * weight[((o * ci + c) * 3 + p) * 3 + q];
          y[((b * co + o) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = h - 2, ow = w - 2;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++) {
        float *restrict out = y + ((b * co + o) * oh + i) * ow;
        #pragma omp simd
        for (int j = 0; j < ow; j++)
          out[j] = 0.0f;
        for (int c = 0; c < ci; c++) {
          for (int p = 0; p < 3; p++) {
            const float *restrict in = x + ((b * ci + c) * h + i + p) * w;
            for (int q = 0; q < 3; q++) {
              float w0 = weight[((o * ci + c) * 3 + p) * 3 + q];
              #pragma omp simd
              for (int j = 0; j < ow; j++)
                out[j] += w0 * in[j + q];
            }
          }
        }
      }]],
}
