-- SPDX-License-Identifier: Apache-2.0
-- Transposed 3D convolution, 3 x 5 x 7.
return {
  id = 58, name = "conv3d_transposed_k3x5x7", level = 1, family = "convolution",
  title = "58_conv_transposed_3D__asymmetric_input__asymmetric_kernel",
  sizes = {
    cpu = { n = 1, ci = 3, co = 5, d = 5, h = 6, w = 79 },
    hidden = { n = 2, ci = 2, co = 3, d = 3, h = 2, w = 4 },
    search = { n = 1, ci = 32, co = 16, d = 16, h = 32, w = 64 },
    full = { n = 16, ci = 32, co = 16, d = 16, h = 32, w = 64 },
  },
  size_order = { "n", "ci", "co", "d", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "d", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "5", "7" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 105" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "d + 2", "h + 4", "w + 6" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * d * h * w + ci * co * 3 * 5 * 7 + n * co * (d + 2) * (h + 4) * (w + 6))",
  flops = "2 * n * ci * d * h * w * co * 105",
  body = [[
  int od = d + 2, oh = h + 4, ow = w + 6;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int z = 0; z < d; z++)
        for (int i = 0; i < h; i++)
          for (int j = 0; j < w; j++)
            for (int o = 0; o < co; o++)
              for (int r = 0; r < 3; r++)
                for (int p = 0; p < 5; p++)
                  for (int q = 0; q < 7; q++)
                    y[(((b * co + o) * od + z + r) * oh + i + p) * ow + j + q] +=
                        x[(((b * ci + c) * d + z) * h + i) * w + j] *
                        weight[(((c * co + o) * 3 + r) * 5 + p) * 7 + q];]],
  tuned = [[
  int od = d + 2, oh = h + 4, ow = w + 6;
  for (int i = 0; i < n * co * od * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int r = 0; r < 3; r++) {
          for (int p = 0; p < 5; p++) {
            for (int z = 0; z < d; z++) {
              for (int i = 0; i < h; i++) {
                const float *restrict in = x + (((b * ci + c) * d + z) * h + i) * w;
                float *restrict out = y + (((b * co + o) * od + z + r) * oh + i + p) * ow;
                for (int q = 0; q < 7; q++) {
                  float w0 = weight[(((c * co + o) * 3 + r) * 5 + p) * 7 + q];
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
// launch conv3d_transposed_k3x5x7 grid(ceil_div(n * co * (d + 2) * (h + 4) * (w + 6), 256)) block(256) args(x, weight, y, n, ci, co, d, h, w)
extern "C" __global__ void conv3d_transposed_k3x5x7(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int d, int h, int w)
{
  int od = d + 2, oh = h + 4, ow = w + 6;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * od * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, t = thread / ow / oh % od, o = thread / ow / oh / od % co,
      b = thread / ow / oh / od / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int r = 0; r < 3; r++)
      for (int p = 0; p < 5; p++)
        for (int q = 0; q < 7; q++) {
          int z = t - r, i = u - p, j = v - q;
          if (z >= 0 && z < d && i >= 0 && i < h && j >= 0 && j < w)
            sum += x[(((b * ci + c) * d + z) * h + i) * w + j] *
                weight[(((c * co + o) * 3 + r) * 5 + p) * 7 + q];
        }
  y[thread] = sum;
}]],
}
