-- SPDX-License-Identifier: Apache-2.0
-- Mean of 11 x 11, stride 11. n counts images and channels together.
return {
  id = 45, name = "avg_pool2d", level = 1, family = "pooling",
  title = "45_Average_Pooling_2D",
  sizes = {
    cpu = { n = 4, h = 199, w = 211 },
    hidden = { n = 2, h = 23, w = 37 },
    search = { n = 16, h = 2048, w = 2048 },
    full = { n = 1024, h = 2048, w = 2048 },
  },
  size_order = { "n", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "h", "w" },
      dist = { "uniform", "normal", "offset", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "(h - 11) / 11 + 1", "(w - 11) / 11 + 1" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * n * (h * w + ((h - 11) / 11 + 1) * ((w - 11) / 11 + 1))",
  flops = "n * ((h - 11) / 11 + 1) * ((w - 11) / 11 + 1) * 121",
  blind = {
    skip_last_input = "what lies beyond the last whole window is never read",
  },
  body = [[
  int oh = (h - 11) / 11 + 1, ow = (w - 11) / 11 + 1;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < oh; i++)
      for (int j = 0; j < ow; j++) {
        float sum = 0.0f;
        for (int p = 0; p < 11; p++)
          for (int q = 0; q < 11; q++)
            sum += x[(c * h + 11 * i + p) * w + 11 * j + q];
        y[(c * oh + i) * ow + j] = sum / 121.0f;
      }]],
  tuned = [[
  int oh = (h - 11) / 11 + 1, ow = (w - 11) / 11 + 1;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < oh; i++)
      for (int j0 = 0; j0 < ow; j0 += 64) {
        int len = ow - j0 < 64 ? ow - j0 : 64;
        float col[704] = {0};
        for (int p = 0; p < 11; p++) {
          const float *restrict in = x + (c * h + 11 * i + p) * w + 11 * j0;
          #pragma omp simd
          for (int v = 0; v < 11 * len; v++)
            col[v] += in[v];
        }
        for (int j = 0; j < len; j++) {
          float sum = 0.0f;
          for (int q = 0; q < 11; q++)
            sum += col[11 * j + q];
          y[(c * oh + i) * ow + j0 + j] = sum / 121.0f;
        }
      }]],
}
