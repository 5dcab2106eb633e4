-- SPDX-License-Identifier: Apache-2.0
-- 3D convolution, 3 x 3 x 1.
return {
  id = 59, name = "conv3d_k3x3x1", level = 1, family = "convolution",
  title = "59_conv_standard_3D__asymmetric_input__square_kernel",
  sizes = {
    cpu = { n = 1, ci = 3, co = 9, d = 23, h = 25, w = 9 },
    hidden = { n = 2, ci = 2, co = 3, d = 5, h = 4, w = 3 },
    search = { n = 1, ci = 3, co = 64, d = 256, h = 256, w = 10 },
    full = { n = 16, ci = 3, co = 64, d = 256, h = 256, w = 10 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "co", "ci", "3", "3", "1" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "ci * 9" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "d - 2", "h - 2", "w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + co * ci * 3 * 3 * 1 + n * co * (d - 2) * (h - 2) * w)",
  flops = "2 * n * co * (d - 2) * (h - 2) * w * ci * 9",
  body = [[
  int od = d - 2, oh = h - 2;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int z = 0; z < od; z++)
        for (int i = 0; i < oh; i++)
          for (int j = 0; j < w; j++) {
            float sum = 0.0f;
            for (int c = 0; c < ci; c++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 3; p++)
                  for (int q = 0; q < 1; q++)
                    sum +=
                        x[(((b * ci + c) * d + z + r) * h + i + p) * w + j + q] *
                        weight[(((o * ci + c) * 3 + r) * 3 + p) * 1 + q];
            y[(((b * co + o) * od + z) * oh + i) * w + j] = sum;
          }]],
  tuned = [[
  int od = d - 2, oh = h - 2, len = oh * w;
  for (int b = 0; b < n; b++)
    for (int o = 0; o < co; o++)
      for (int z = 0; z < od; z++) {
        float *restrict out = y + ((b * co + o) * od + z) * len;
        for (int j = 0; j < len; j++)
          out[j] = 0.0f;
        for (int c = 0; c < ci; c++)
          for (int r = 0; r < 3; r++)
            for (int p = 0; p < 3; p++) {
              float w0 = weight[((o * ci + c) * 3 + r) * 3 + p];
              const float *restrict in = x + (((b * ci + c) * d + z + r) * h + p) * w;
              #pragma omp simd
              for (int j = 0; j < len; j++)
                out[j] += w0 * in[j];
            }
      }]],
}
