-- SPDX-License-Identifier: Apache-2.0
-- 2D convolution, 11 x 11, stride 4, padding 2, with bias (the first layer of AlexNet).
return {
  id = 50, name = "conv2d_k11s4", level = 1, family = "convolution",
  title = "50_conv_standard_2D__square_input__square_kernel",
  sizes = {
    cpu = { n = 2, ci = 3, co = 7, h = 47, w = 47 },
    hidden = { n = 2, ci = 2, co = 3, h = 19, w = 15 },
    search = { n = 16, ci = 3, co = 96, h = 224, w = 224 },
    full = { n = 256, ci = 3, co = 96, h = 224, w = 224 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "11", "11" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 121" },
    { name = "bias", role = "weight", dtype = "f32", shape = { "co" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 121" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "(h - 7) / 4 + 1", "(w - 7) / 4 + 1" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + co * ci * 11 * 11 + co + n * co * ((h - 7) / 4 + 1) * ((w - 7) / 4 + 1))",
  flops = "2 * n * co * ((h - 7) / 4 + 1) * ((w - 7) / 4 + 1) * ci * 121",
  body = [[
  int oh = (h - 7) / 4 + 1, ow = (w - 7) / 4 + 1;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = bias[o];
          for (int c = 0; c < ci; c++)
            for (int p = 0; p < 11; p++)
              for (int q = 0; q < 11; q++) {
                int u = 4 * i + p - 2, v = 4 * j + q - 2;
                if (u >= 0 && u < h && v >= 0 && v < w)
                  sum += x[((b * ci + c) * h + u) * w + v] * weight[((o * ci + c) * 11 + p) * 11 + q];
              }
          y[((b * co + o) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = (h - 7) / 4 + 1, ow = (w - 7) / 4 + 1;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < oh; i++) {
        float *restrict out = y + ((b * co + o) * oh + i) * ow;
        #pragma omp simd
        for (int j = 0; j < ow; j++)
          out[j] = bias[o];
        for (int c = 0; c < ci; c++) {
          for (int p = 0; p < 11; p++) {
            int u = 4 * i + p - 2;
            if (u < 0 || u >= h)
              continue;
            const float *restrict in = x + ((b * ci + c) * h + u) * w;
            for (int q = 0; q < 11; q++) {
              float w0 = weight[((o * ci + c) * 11 + p) * 11 + q];
              int at = q - 2;
              int lo = at < 0 ? (-at + 3) / 4 : 0, hi = (w - at + 3) / 4;
              hi = hi < ow ? hi : ow;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[j] += w0 * in[4 * j + at];
            }
          }
        }
      }]],
}
