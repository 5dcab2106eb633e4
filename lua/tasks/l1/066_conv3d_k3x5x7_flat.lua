-- SPDX-License-Identifier: Apache-2.0
-- 3D convolution, 3 x 5 x 7, flat volume.
return {
  id = 66, name = "conv3d_k3x5x7_flat", level = 1, family = "convolution",
  title = "66_conv_standard_3D__asymmetric_input__asymmetric_kernel",
  sizes = {
    cpu = { n = 1, ci = 3, co = 5, d = 7, h = 15, w = 19 },
    hidden = { n = 2, ci = 2, co = 3, d = 4, h = 6, w = 9 },
    search = { n = 1, ci = 3, co = 64, d = 8, h = 128, w = 128 },
    full = { n = 8, ci = 3, co = 64, d = 16, h = 128, w = 128 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3", "5", "7" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 105" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "d - 2", "h - 4", "w - 6" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + co * ci * 3 * 5 * 7 + n * co * (d - 2) * (h - 4) * (w - 6))",
  flops = "2 * n * co * (d - 2) * (h - 4) * (w - 6) * ci * 105",
  body = [[
  int od = d - 2, oh = h - 4, ow = w - 6;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int z = 0; z < od; z++)
        for (int i = 0; i < oh; i++)
          for (int j = 0; j < ow; j++) {
            float sum = 0.0f;
            for (int c = 0; c < ci; c++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 5; p++)
                  for (int q = 0; q < 7; q++)
                    sum +=
                        x[(((b * ci + c) * d + z + r) * h + i + p) * w + j + q] *
                        weight[(((o * ci + c) * 3 + r) * 5 + p) * 7 + q];
            y[(((b * co + o) * od + z) * oh + i) * ow + j] = sum;
          }]],
  tuned = [[
  int od = d - 2, oh = h - 4, ow = w - 6;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int z = 0; z < od; z++)
        for (int i = 0; i < oh; i++) {
          float *restrict out = y + (((b * co + o) * od + z) * oh + i) * ow;
          #pragma omp simd
          for (int j = 0; j < ow; j++)
            out[j] = 0.0f;
          for (int c = 0; c < ci; c++) {
            for (int r = 0; r < 3; r++) {
              for (int p = 0; p < 5; p++) {
                const float *restrict in = x + (((b * ci + c) * d + z + r) * h + i + p) * w;
                for (int q = 0; q < 7; q++) {
                  float w0 = weight[(((o * ci + c) * 3 + r) * 5 + p) * 7 + q];
                  #pragma omp simd
                  for (int j = 0; j < ow; j++)
                    out[j] += w0 * in[j + q];
                }
              }
            }
          }
        }]],
}
