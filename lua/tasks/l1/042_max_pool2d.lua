-- SPDX-License-Identifier: Apache-2.0
-- Maximum of 4 x 4, stride 1, padding 1 (padding never wins). n counts images and channels together.
return {
  id = 42, name = "max_pool2d", level = 1, family = "pooling",
  title = "42_Max_Pooling_2D",
  sizes = {
    cpu = { n = 5, h = 47, w = 53 },
    hidden = { n = 2, h = 7, w = 9 },
    search = { n = 128, h = 512, w = 512 },
    full = { n = 2048, h = 512, w = 512 },
  },
  size_order = { "n", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "h", "w" },
      dist = { "uniform", "normal", "offset", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "h - 1", "w - 1" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * n * (h * w + (h - 1) * (w - 1))", flops = "n * (h - 1) * (w - 1) * 16",
  body = [[
  int oh = h - 1, ow = w - 1;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < oh; i++)
      for (int j = 0; j < ow; j++) {
        float max = -INFINITY;
        for (int p = 0; p < 4; p++)
          for (int q = 0; q < 4; q++) {
            int u = i + p - 1, v = j + q - 1;
            if (u >= 0 && u < h && v >= 0 && v < w)
              max = fmaxf(max, x[(c * h + u) * w + v]);
          }
        y[(c * oh + i) * ow + j] = max;
      }]],
  tuned = [[
  int oh = h - 1, ow = w - 1;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < oh; i++) {
      float *restrict out = y + (c * oh + i) * ow;
      for (int j = 0; j < ow; j++)
        out[j] = -INFINITY;
      for (int p = 0; p < 4; p++) {
        int u = i + p - 1;
        if (u < 0 || u >= h)
          continue;
        const float *restrict in = x + (c * h + u) * w;
        for (int q = 0; q < 4; q++) {
          int at = q - 1;
          int lo = at < 0 ? -at : 0, hi = w - at < ow ? w - at : ow;
          #pragma omp simd
          for (int j = lo; j < hi; j++)
            out[j] = in[j + at] > out[j] ? in[j + at] : out[j];
        }
      }
    }]],
}
