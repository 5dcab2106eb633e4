-- SPDX-License-Identifier: Apache-2.0
-- Depthwise 2D convolution, 3 x 1 (along the height). The compiler vectorises the direct loops whole: the tuned
-- reference is the same text.
return {
  id = 83, name = "depthwise_conv2d_k3x1", level = 1, family = "convolution",
  title = "83_conv_depthwise_2D_square_input_asymmetric_kernel",
  sizes = {
    cpu = { n = 2, c = 8, h = 73, w = 79 },
    hidden = { n = 2, c = 3, h = 7, w = 5 },
    search = { n = 8, c = 8, h = 512, w = 512 },
    full = { n = 64, c = 8, h = 512, w = 512 },
  },
  size_order = { "n", "c", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c", "3", "1" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "3" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "h - 2", "w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * c * h * w + c * 3 * 1 + n * c * (h - 2) * w)", flops = "2 * n * c * (h - 2) * w * 3",
  body = [[
  int oh = h - 2;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < w; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 1; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 1 + q];
          y[((b * c + k) * oh + i) * w + j] = sum;
        }]],
  tuned = [[
  int oh = h - 2;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < w; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 1; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 1 + q];
          y[((b * c + k) * oh + i) * w + j] = sum;
        }]],
}
