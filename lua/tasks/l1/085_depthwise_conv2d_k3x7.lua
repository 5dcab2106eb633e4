-- SPDX-License-Identifier: Apache-2.0
-- Depthwise 2D convolution, 3 x 7. The compiler vectorises the direct loops whole: the tuned
-- reference is the same text.
return {
  id = 85, name = "depthwise_conv2d_k3x7", level = 1, family = "convolution",
  title = "85_conv_depthwise_2D_asymmetric_input_asymmetric_kernel",
  sizes = {
    cpu = { n = 2, c = 13, h = 43, w = 79 },
    hidden = { n = 2, c = 3, h = 5, w = 11 },
    search = { n = 4, c = 128, h = 128, w = 256 },
    full = { n = 32, c = 128, h = 128, w = 256 },
  },
  size_order = { "n", "c", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c", "3", "7" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "21" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "h - 2", "w - 6" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * c * h * w + c * 3 * 7 + n * c * (h - 2) * (w - 6))",
  flops = "2 * n * c * (h - 2) * (w - 6) * 21",
  body = [[
  int oh = h - 2, ow = w - 6;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 7; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 7 + q];
          y[((b * c + k) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = h - 2, ow = w - 6;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 7; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 7 + q];
          y[((b * c + k) * oh + i) * ow + j] = sum;
        }]],
}
