-- SPDX-License-Identifier: Apache-2.0
-- 2D convolution, 5 x 9, padding (2, 4), dilation (2, 3).
return {
  id = 80, name = "conv2d_dilated_padded", level = 1, family = "convolution",
  title = "80_conv_standard_2D_square_input_asymmetric_kernel___dilated____padded__",
  sizes = {
    cpu = { n = 1, ci = 3, co = 7, h = 37, w = 45 },
    hidden = { n = 2, ci = 2, co = 3, h = 7, w = 17 },
    search = { n = 1, ci = 32, co = 64, h = 128, w = 128 },
    full = { n = 8, ci = 32, co = 64, h = 512, w = 512 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "5", "9" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 45" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h - 4", "w - 16" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + co * ci * 5 * 9 + n * co * (h - 4) * (w - 16))",
  flops = "2 * n * co * (h - 4) * (w - 16) * ci * 45",
  body = [[
  int oh = h - 4, ow = w - 16;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int c = 0; c < ci; c++)
            for (int p = 0; p < 5; p++)
              for (int q = 0; q < 9; q++) {
                int u = i + 2 * p - 2, v = j + 3 * q - 4;
                if (u >= 0 && u < h && v >= 0 && v < w)
                  sum += x[((b * ci + c) * h + u) * w + v] * weight[((o * ci + c) * 5 + p) * 9 + q];
              }
          y[((b * co + o) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = h - 4, ow = w - 16;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++) {
        float *restrict out = y + ((b * co + o) * oh + i) * ow;
        #pragma omp simd
        for (int j = 0; j < ow; j++)
          out[j] = 0.0f;
        for (int c = 0; c < ci; c++) {
          for (int p = 0; p < 5; p++) {
            int u = i + 2 * p - 2;
            if (u < 0 || u >= h)
              continue;
            const float *restrict in = x + ((b * ci + c) * h + u) * w;
            for (int q = 0; q < 9; q++) {
              float w0 = weight[((o * ci + c) * 5 + p) * 9 + q];
              int at = 3 * q - 4;
              int lo = at < 0 ? -at : 0, hi = w - at < ow ? w - at : ow;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[j] += w0 * in[j + at];
            }
          }
        }
      }]],
}
