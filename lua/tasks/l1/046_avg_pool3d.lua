-- SPDX-License-Identifier: Apache-2.0
-- Mean of 3 x 3 x 3, stride 2, padding 1; padding counts as zeros. n counts images and channels together.
return {
  id = 46, name = "avg_pool3d", level = 1, family = "pooling",
  title = "46_Average_Pooling_3D",
  sizes = {
    cpu = { n = 3, d = 25, h = 27, w = 61 },
    hidden = { n = 2, d = 5, h = 6, w = 7 },
    search = { n = 16, d = 128, h = 128, w = 256 },
    full = { n = 512, d = 128, h = 128, w = 256 },
  },
  size_order = { "n", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "d", "h", "w" },
      dist = { "uniform", "normal", "offset", "ties", "rowscale" } },
    { name = "y", role = "out", dtype = "f32",
      shape = { "n", "(d - 1) / 2 + 1", "(h - 1) / 2 + 1", "(w - 1) / 2 + 1" } },
  },
  rtol = 0, atol = 0,
  bytes = "4 * n * (d * h * w + ((d - 1) / 2 + 1) * ((h - 1) / 2 + 1) * ((w - 1) / 2 + 1))",
  flops = "n * ((d - 1) / 2 + 1) * ((h - 1) / 2 + 1) * ((w - 1) / 2 + 1) * 27",
  body = [[
  int od = (d - 1) / 2 + 1, oh = (h - 1) / 2 + 1, ow = (w - 1) / 2 + 1;
  for (int c = 0; c < n; c++)
    for (int z = 0; z < od; z++)
      for (int i = 0; i < oh; i++)
        for (int j = 0; j < ow; j++) {
          float sum = 0.0f;
          for (int r = 0; r < 3; r++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 3; q++) {
                int t = 2 * z + r - 1, u = 2 * i + p - 1, v = 2 * j + q - 1;
                if (t >= 0 && t < d && u >= 0 && u < h && v >= 0 && v < w)
                  sum += x[((c * d + t) * h + u) * w + v];
              }
          y[((c * od + z) * oh + i) * ow + j] = sum / 27.0f;
        }]],
  tuned = [[
  int od = (d - 1) / 2 + 1, oh = (h - 1) / 2 + 1, ow = (w - 1) / 2 + 1;
  for (int c = 0; c < n; c++)
    for (int z = 0; z < od; z++)
      for (int i = 0; i < oh; i++) {
        float *restrict out = y + ((c * od + z) * oh + i) * ow;
        for (int j = 0; j < ow; j++)
          out[j] = 0.0f;
        for (int r = 0; r < 3; r++) {
          int t = 2 * z + r - 1;
          if (t < 0 || t >= d)
            continue;
          for (int p = 0; p < 3; p++) {
            int u = 2 * i + p - 1;
            if (u < 0 || u >= h)
              continue;
            const float *restrict in = x + ((c * d + t) * h + u) * w;
            for (int q = 0; q < 3; q++) {
              int at = q - 1;
              int lo = at < 0 ? (-at + 1) / 2 : 0, hi = (w - at + 1) / 2;
              hi = hi < ow ? hi : ow;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[j] += in[2 * j + at];
            }
          }
        }
        #pragma omp simd
        for (int j = 0; j < ow; j++)
          out[j] *= 1.0f / 27.0f;
      }]],
}
