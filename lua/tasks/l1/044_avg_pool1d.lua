-- SPDX-License-Identifier: Apache-2.0
-- Mean of 8, stride 1, padding 4; padding counts as zeros. n counts images and channels together.
return {
  id = 44, name = "avg_pool1d", level = 1, family = "pooling",
  title = "44_Average_Pooling_1D",
  sizes = {
    cpu = { n = 41, l = 2039 },
    hidden = { n = 3, l = 41 },
    search = { n = 512, l = 65536 },
    full = { n = 8192, l = 65536 },
  },
  size_order = { "n", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "l" },
      dist = { "uniform", "normal", "offset", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "l + 1" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * n * (l + (l + 1))", flops = "n * (l + 1) * 8",
  body = [[
  int ol = l + 1;
  for (int c = 0; c < n; c++)
    for (int i = 0; i < ol; i++) {
      float sum = 0.0f;
      for (int p = 0; p < 8; p++) {
        int u = i + p - 4;
        if (u >= 0 && u < l)
          sum += x[c * l + u];
      }
      y[c * ol + i] = sum / 8.0f;
    }]],
  tuned = [[
  int ol = l + 1;
  for (int c = 0; c < n; c++) {
    float *restrict out = y + c * ol;
    for (int j = 0; j < ol; j++)
      out[j] = 0.0f;
    const float *restrict in = x + c * l;
    for (int p = 0; p < 8; p++) {
      int at = p - 4;
      int lo = at < 0 ? -at : 0, hi = l - at < ol ? l - at : ol;
      #pragma omp simd
      for (int j = lo; j < hi; j++)
        out[j] += in[j + at];
    }
    #pragma omp simd
    for (int j = 0; j < ol; j++)
      out[j] *= 1.0f / 8.0f;
  }]],
}
