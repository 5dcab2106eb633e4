-- SPDX-License-Identifier: Apache-2.0
-- 1D convolution, 3 taps.
return {
  id = 67, name = "conv1d_k3", level = 1, family = "convolution",
  title = "67_conv_standard_1D",
  sizes = {
    cpu = { n = 2, ci = 13, co = 17, l = 1021 },
    hidden = { n = 2, ci = 2, co = 3, l = 17 },
    search = { n = 2, ci = 64, co = 128, l = 32768 },
    full = { n = 32, ci = 64, co = 128, l = 131072 },
  },
  size_order = { "n", "ci", "co", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "l" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 3" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "l - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * l + co * ci * 3 + n * co * (l - 2))", flops = "2 * n * co * (l - 2) * ci * 3",
  body = [[
  int ol = l - 2;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int i = 0; i < ol; i++) {
        float sum = 0.0f;
        for (int c = 0; c < ci; c++)
          for (int p = 0; p < 3; p++)
            sum += x[(b * ci + c) * l + i + p] * weight[(o * ci + c) * 3 + p];
        y[(b * co + o) * ol + i] = sum;
      }]],
  tuned = [[
  int ol = l - 2;
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
            out[j] += w0 * in[j + p];
        }
      }
    }]],
}
