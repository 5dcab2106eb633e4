-- SPDX-License-Identifier: Apache-2.0
-- Maximum of 8 with dilation 3, stride 1, padding 4 (padding never wins). n counts images and channels together.
return {
  id = 41, name = "max_pool1d", level = 1, family = "pooling",
  title = "41_Max_Pooling_1D",
  sizes = {
    cpu = { n = 17, l = 1531 },
    hidden = { n = 3, l = 41 },
    search = { n = 384, l = 65536 },
    full = { n = 12288, l = 65536 },
  },
  size_order = { "n", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "l" },
      dist = { "uniform", "normal", "offset", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "l - 13" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * n * (l + (l - 13))", flops = "n * (l - 13) * 8",
  body = [[
  int ol = l - 13;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < ol; i++) {
      float max = -INFINITY;
      for (int p = 0; p < 8; p++) {
        int u = i + 3 * p - 4;
        if (u >= 0 && u < l)
          max = fmaxf(max, x[c * l + u]);
      }
      y[c * ol + i] = max;
    }]],
  tuned = [[
  int ol = l - 13;
  for (int c = 0; c < n; c++) {
    float *restrict out = y + c * ol;
    for (int j = 0; j < ol; j++)
      out[j] = -INFINITY;
    const float *restrict in = x + c * l;
    for (int p = 0; p < 8; p++) {
      int at = 3 * p - 4;
      int lo = at < 0 ? -at : 0, hi = l - at < ol ? l - at : ol;
      #pragma omp simd
      for (int j = lo; j < hi; j++)
        out[j] = in[j + at] > out[j] ? in[j + at] : out[j];
    }
  }]],
}
