-- SPDX-License-Identifier: Apache-2.0
-- Transposed 3D convolution, 3 x 3 x 3, twice as many inputs as outputs.
return {
  id = 70, name = "conv3d_transposed_k3_wide", level = 1, family = "convolution",
  title = "70_conv_transposed_3D__asymmetric_input__square_kernel",
  sizes = {
    cpu = { n = 1, ci = 8, co = 5, d = 5, h = 6, w = 41 },
    hidden = { n = 2, ci = 4, co = 2, d = 3, h = 2, w = 4 },
    search = { n = 1, ci = 48, co = 24, d = 32, h = 32, w = 32 },
    full = { n = 8, ci = 48, co = 24, d = 96, h = 96, w = 96 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 27" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "d + 2", "h + 2", "w + 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + ci * co * 3 * 3 * 3 + n * co * (d + 2) * (h + 2) * (w + 2))",
  flops = "2 * n * ci * d * h * w * co * 27",
  body = [[
  int od = d + 2, oh = h + 2, ow = w + 2;
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
                  for (int q = 0; q < 3; q++)
                    y[(((b * co + o) * od + z + r) * oh + i + p) * ow + j + q] +=
                        x[(((b * ci + c) * d + z) * h + i) * w + j] *
                        weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];]],
  tuned = [[
  int od = d + 2, oh = h + 2, ow = w + 2;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int r = 0; r < 3; r++) {
          for (int p = 0; p < 3; p++) {
            for (int z = 0; z < d; z++) {
              for (int i = 0; i < h; i++) {
                const float *restrict in = x + (((b * ci + c) * d + z) * h + i) * w;
                float *restrict out = y + (((b * co + o) * od + z + r) * oh + i + p) * ow;
                for (int q = 0; q < 3; q++) {
                  float w0 = weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];
                  #pragma omp simd
                  for (int j = 0; j < w; j++)
                    out[j + q] += w0 * in[j];
                }
              }
            }
          }
        }
      }]],
  cuda = [[
// launch conv3d_transposed_k3_wide grid(ceil_div(n * co * (d + 2) * (h + 2) * (w + 2), 256)) block(256) args(x, weight, y, n, ci, co, d, h, w)
extern "C" __global__ void conv3d_transposed_k3_wide(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int d, int h, int w)
{
  int od = d + 2, oh = h + 2, ow = w + 2;
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
          int z = t - r, i = u - p, j = v - q;
          if (z >= 0 && z < d && i >= 0 && i < h && j >= 0 && j < w)
            sum += x[(((b * ci + c) * d + z) * h + i) * w + j] *
                weight[(((c * co + o) * 3 + r) * 3 + p) * 3 + q];
        }
  y[thread] = sum;
}]],
}
