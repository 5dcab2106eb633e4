-- SPDX-License-Identifier: Apache-2.0
-- Depthwise 2D convolution, 3 x 3. The compiler vectorises the direct loops whole: the tuned
-- reference is the same text.
return {
  id = 82, name = "depthwise_conv2d_k3", level = 1, family = "convolution",
  title = "82_conv_depthwise_2D_square_input_square_kernel",
  sizes = {
    cpu = { n = 2, c = 31, h = 31, w = 47 },
    hidden = { n = 2, c = 3, h = 7, w = 5 },
    search = { n = 2, c = 64, h = 512, w = 512 },
    full = { n = 16, c = 64, h = 512, w = 512 },
  },
  size_order = { "n", "c", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "9" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "h - 2", "w - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * c * h * w + c * 3 * 3 + n * c * (h - 2) * (w - 2))",
  flops = "2 * n * c * (h - 2) * (w - 2) * 9",
  body = [[
  int oh = h - 2, ow = w - 2;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 3; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 3 + q];
          y[((b * c + k) * oh + i) * ow + j] = sum;
        }]],
  tuned = [[
  int oh = h - 2, ow = w - 2;
  for (int b = 0; b < n; b++)
    for (int k = 0; k < c; k++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 3; q++)
              sum += x[((b * c + k) * h + i + p) * w + j + q] * weight[(k * 3 + p) * 3 + q];
          y[((b * c + k) * oh + i) * ow + j] = sum;
        }]],
}
