-- SPDX-License-Identifier: Apache-2.0
-- 1D convolution, 3 taps, stride 3, dilation 4.
return {
  id = 76, name = "conv1d_dilated_s3", level = 1, family = "convolution",
  title = "76_conv_standard_1D_dilated_strided__",
  sizes = {
    cpu = { n = 2, ci = 13, co = 17, l = 3061 },
    hidden = { n = 2, ci = 2, co = 3, l = 41 },
    search = { n = 2, ci = 64, co = 128, l = 65538 },
    full = { n = 64, ci = 64, co = 128, l = 524280 },
  },
  size_order = { "n", "ci", "co", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "l" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 3" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "(l - 9) / 3 + 1" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * l + co * ci * 3 + n * co * ((l - 9) / 3 + 1))",
  flops = "2 * n * co * ((l - 9) / 3 + 1) * ci * 3",
  body = [[
  int ol = (l - 9) / 3 + 1;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < ol; i++) {
        float sum = 0.0f;
        for (int c = 0; c < ci; c++)
          for (int p = 0; p < 3; p++)
            sum += x[(b * ci + c) * l + 3 * i + 4 * p] * weight[(o * ci + c) * 3 + p];
        y[(b * co + o) * ol + i] = sum;
      }]],
  tuned = [[
  int ol = (l - 9) / 3 + 1;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++) {
      float *restrict out = y + (b * co + o) * ol;
      #pragma omp simd
      for (int j = 0; j < ol; j++)
        out[j] = 0.0f;
      for (int c = 0; c < ci; c++) {
        const float *restrict in = x + (b * ci + c) * l;
        for (int p = 0; p < 3; p++) {
          float w0 = weight[(o * ci + c) * 3 + p];
          #pragma omp simd
          for (int j = 0; j < ol; j++)
            out[j] += w0 * in[3 * j + 4 * p];
        }
      }
    }]],
}
