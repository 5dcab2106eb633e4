-- SPDX-License-Identifier: Apache-2.0
-- 3D convolution, 3 x 3 x 3.
return {
  id = 54, name = "conv3d_k3", level = 1, family = "convolution",
  title = "54_conv_standard_3D__square_input__square_kernel",
  sizes = {
    cpu = { n = 1, ci = 3, co = 9, d = 11, h = 13, w = 15 },
    hidden = { n = 2, ci = 2, co = 3, d = 5, h = 4, w = 6 },
    search = { n = 1, ci = 3, co = 64, d = 64, h = 64, w = 64 },
    full = { n = 16, ci = 3, co = 64, d = 64, h = 64, w = 64 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 27" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "d - 2", "h - 2", "w - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + co * ci * 3 * 3 * 3 + n * co * (d - 2) * (h - 2) * (w - 2))",
  flops = "2 * n * co * (d - 2) * (h - 2) * (w - 2) * ci * 27",
  body = [[
  int od = d - 2, oh = h - 2, ow = w - 2;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int z = 0; z < od; z++)
        for (int i = 0; i < oh; i++)
          for (int j = 0; j < ow; j++) {
            float sum = 0.0f;
            for (int c = 0; c < ci; c++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 3; p++)
                  for (int q = 0; q < 3; q++)
                    sum +=
                        x[(((b * ci + c) * d + z + r) * h + i + p) * w + j + q] *
                        weight[(((o * ci + c) * 3 + r) * 3 + p) * 3 + q];
            y[(((b * co + o) * od + z) * oh + i) * ow + j] = sum;
          }]],
  tuned = [[
  int od = d - 2, oh = h - 2, ow = w - 2;
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
              for (int p = 0; p < 3; p++) {
                const float *restrict in = x + (((b * ci + c) * d + z + r) * h + i + p) * w;
                for (int q = 0; q < 3; q++) {
                  float w0 = weight[(((o * ci + c) * 3 + r) * 3 + p) * 3 + q];
                  #pragma omp simd
                  for (int j = 0; j < ow; j++)
                    out[j] += w0 * in[j + q];
                }
              }
            }
          }
        }]],
}
