-- SPDX-License-Identifier: Apache-2.0
-- Transposed 3D convolution, 3 x 3 x 3, stride 2, padding 1. The benchmark's title says grouped, but its groups
-- argument lands elsewhere: one group.
return {
  id = 73, name = "conv3d_transposed_s2", level = 1, family = "convolution",
  title = "73_conv_transposed_3D_asymmetric_input_square_kernel__strided_padded__grouped",
  sizes = {
    cpu = { n = 1, ci = 5, co = 7, d = 7, h = 9, w = 11 },
    hidden = { n = 2, ci = 2, co = 3, d = 3, h = 2, w = 4 },
    search = { n = 1, ci = 32, co = 32, d = 16, h = 64, w = 64 },
    full = { n = 4, ci = 32, co = 32, d = 32, h = 64, w = 128 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 27" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "2 * d - 1", "2 * h - 1", "2 * w - 1" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + ci * co * 3 * 3 * 3 + n * co * (2 * d - 1) * (2 * h - 1) * (2 * w - 1))",
  flops = "2 * n * ci * d * h * w * co * 27",
  body = [[
  int od = 2 * d - 1, oh = 2 * h - 1, ow = 2 * w - 1;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int z = 0; z < d; z++)
        for (int i = 0; i < h; i++)
          for (int j = 0; j < w; j++)
            for (int o = 0; o < co; o++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 3; p++)
                  for (int q = 0; q < 3; q++) {
                    int t = 2 * z + r - 1, u = 2 * i + p - 1, v = 2 * j + q - 1;
                    if (t >= 0 && t < od && u >= 0 && u < oh && v >= 0 && v < ow)
                      y[(((b * co + o) * od + t) * oh + u) * ow + v] +=
                          x[(((b * ci + c) * d + z) * h + i) * w + j] *
                          weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];
                  }]],
  tuned = [[
  int od = 2 * d - 1, oh = 2 * h - 1, ow = 2 * w - 1;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int r = 0; r < 3; r++) {
          for (int p = 0; p < 3; p++) {
            for (int z = 0; z < d; z++) {
              int t = 2 * z + r - 1;
              if (t < 0 || t >= od)
                continue;
              for (int i = 0; i < h; i++) {
                int u = 2 * i + p - 1;
                if (u < 0 || u >= oh)
                  continue;
                const float *restrict in = x + (((b * ci + c) * d + z) * h + i) * w;
                float *restrict out = y + (((b * co + o) * od + t) * oh + u) * ow;
                for (int q = 0; q < 3; q++) {
                  float w0 = weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];
                  int at = q - 1;
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
// launch conv3d_transposed_s2 grid(ceil_div(n * co * (2 * d - 1) * (2 * h - 1) * (2 * w - 1), 256)) block(256) args(x, weight, y, n, ci, co, d, h, w)
extern "C" __global__ void conv3d_transposed_s2(const float *__restrict__ x, const float *__restrict__ weight,
    float *__restrict__ y,
    int n, int ci, int co, int d, int h, int w)
{
  int od = 2 * d - 1, oh = 2 * h - 1, ow = 2 * w - 1;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * od * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, t = thread / ow / oh % od, o = thread / ow / oh / od % co,
      b = thread / ow / oh / od / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int r = 0; r < 3; r++)
      for (int p = 0; p < 3; p++)
        for (int q = 0; q < 3; q++) {
          int z = t + 1 - r, i = u + 1 - p, j = v + 1 - q;
          if (z >= 0 && z % 2 == 0 && z / 2 < d && i >= 0 && i % 2 == 0 && i / 2 < h && j >= 0 && j % 2 == 0 &&
              j / 2 < w)
            sum += x[(((b * ci + c) * d + z / 2) * h + i / 2) * w + j / 2] *
                weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];
        }
  y[thread] = sum;
}]],
}
