-- SPDX-License-Identifier: Apache-2.0
-- Transposed 3D convolution, 3 x 5 x 7, stride 2, padding (1, 2, 3), output padding 1, 4 groups.
return {
  id = 72, name = "conv3d_transposed_grouped", level = 1, family = "convolution",
  title = "72_conv_transposed_3D_asymmetric_input_asymmetric_kernel___strided_padded_grouped_",
  sizes = {
    cpu = { n = 1, ci = 8, co = 8, d = 3, h = 5, w = 37 },
    hidden = { n = 2, ci = 4, co = 8, d = 2, h = 3, w = 4 },
    search = { n = 1, ci = 32, co = 32, d = 12, h = 24, w = 48 },
    full = { n = 8, ci = 32, co = 32, d = 12, h = 24, w = 48 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  where = { "ci % 4 == 0", "co % 4 == 0" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co / 4", "3", "5", "7" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co / 4 * 105" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "2 * d", "2 * h", "2 * w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + ci * (co / 4) * 3 * 5 * 7 + n * co * (2 * d) * (2 * h) * (2 * w))",
  flops = "2 * n * ci * d * h * w * (co / 4) * 105",
  body = [[
  int od = 2 * d, oh = 2 * h, ow = 2 * w;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int z = 0; z < d; z++)
        for (int i = 0; i < h; i++)
          for (int j = 0; j < w; j++)
            for (int o = 0; o < co / 4; o++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 5; p++)
                  for (int q = 0; q < 7; q++) {
                    int k = (c / (ci / 4)) * (co / 4) + o;
                    int t = 2 * z + r - 1, u = 2 * i + p - 2, v = 2 * j + q - 3;
                    if (t >= 0 && t < od && u >= 0 && u < oh && v >= 0 && v < ow)
                      y[(((b * co + k) * od + t) * oh + u) * ow + v] +=
                          x[(((b * ci + c) * d + z) * h + i) * w + j] *
                          weight[(((c * (co / 4) + o) * 3 + r) * 5 + p) * 7 + q];
                  }]],
  tuned = [[
  int od = 2 * d, oh = 2 * h, ow = 2 * w;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co / 4; o++) {
        int k = (c / (ci / 4)) * (co / 4) + o;
        for (int r = 0; r < 3; r++) {
          for (int p = 0; p < 5; p++) {
            for (int z = 0; z < d; z++) {
              int t = 2 * z + r - 1;
              if (t < 0 || t >= od)
                continue;
              for (int i = 0; i < h; i++) {
                int u = 2 * i + p - 2;
                if (u < 0 || u >= oh)
                  continue;
                const float *restrict in = x + (((b * ci + c) * d + z) * h + i) * w;
                float *restrict out = y + (((b * co + k) * od + t) * oh + u) * ow;
                for (int q = 0; q < 7; q++) {
                  float w0 = weight[(((c * (co / 4) + o) * 3 + r) * 5 + p) * 7 + q];
                  int at = q - 3;
                  int lo = at < 0 ? (-at + 1) / 2 : 0, hi = (ow - at + 1) / 2;
                  hi = hi < w ? hi : w;
                  #pragma omp simd
                  for (int j = lo; j < hi; j++)
                    out[2 * j + at] += w0 * in[j];
                }
              }
            }
          }
        }
      }]],
  cuda = [[
// launch conv3d_transposed_grouped grid(ceil_div(n * co * (2 * d) * (2 * h) * (2 * w), 256)) block(256) args(x, weight, y, n, ci, co, d, h, w)
extern "C" __global__ void conv3d_transposed_grouped(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int d, int h, int w)
{
  int od = 2 * d, oh = 2 * h, ow = 2 * w;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * od * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, t = thread / ow / oh % od, o = thread / ow / oh / od % co,
      b = thread / ow / oh / od / co;
  float sum = 0.0f;
  int first = o / (co / 4) * (ci / 4);
  for (int c = first; c < first + ci / 4; c++)
    for (int r = 0; r < 3; r++)
      for (int p = 0; p < 5; p++)
        for (int q = 0; q < 7; q++) {
          int z = t + 1 - r, i = u + 2 - p, j = v + 3 - q;
          if (z >= 0 && z % 2 == 0 && z / 2 < d && i >= 0 && i % 2 == 0 && i / 2 < h && j >= 0 && j % 2 == 0 &&
              j / 2 < w)
            sum += x[(((b * ci + c) * d + z / 2) * h + i / 2) * w + j / 2] *
                weight[(((c * (co / 4) + o % (co / 4)) * 3 + r) * 5 + p) * 7 + q];
        }
  y[thread] = sum;
}]],
}
