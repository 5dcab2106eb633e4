-- SPDX-License-Identifier: Apache-2.0
-- Transposed 2D convolution, 3 x 3, wide image.
return {
  id = 71, name = "conv2d_transposed_k3_wide", level = 1, family = "convolution",
  title = "71_conv_transposed_2D__asymmetric_input__square_kernel",
  sizes = {
    cpu = { n = 2, ci = 7, co = 7, h = 23, w = 71 },
    hidden = { n = 2, ci = 2, co = 3, h = 3, w = 7 },
    search = { n = 1, ci = 32, co = 32, h = 256, w = 1024 },
    full = { n = 8, ci = 32, co = 32, h = 512, w = 1024 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 9" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h + 2", "w + 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + ci * co * 3 * 3 + n * co * (h + 2) * (w + 2))",
  flops = "2 * n * ci * h * w * co * 9",
  body = [[
  int oh = h + 2, ow = w + 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
          for (int o = 0; o < co; o++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 3; q++)
                y[((b * co + o) * oh + i + p) * ow + j + q] +=
                    x[((b * ci + c) * h + i) * w + j] * weight[((c * co + o) * 3 + p) * 3 + q];]],
  tuned = [[
  int oh = h + 2, ow = w + 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int p = 0; p < 3; p++) {
          for (int i = 0; i < h; i++) {
            const float *restrict in = x + ((b * ci + c) * h + i) * w;
            float *restrict out = y + ((b * co + o) * oh + i + p) * ow;
            for (int q = 0; q < 3; q++) {
              float w0 = weight[((c * co + o) * 3 + p) * 3 + q];
              #pragma omp simd
              for (int j = 0; j < w; j++)
                out[j + q] += w0 * in[j];
            }
          }
        }
      }]],
  cuda = [[
// launch conv2d_transposed_k3_wide grid(ceil_div(n * co * (h + 2) * (w + 2), 256)) block(256) args(x, weight, y, n, ci, co, h, w)
extern "C" __global__ void conv2d_transposed_k3_wide(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int h, int w)
{
  int oh = h + 2, ow = w + 2;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, o = thread / ow / oh % co, b = thread / ow / oh / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int p = 0; p < 3; p++)
      for (int q = 0; q < 3; q++) {
        int i = u - p, j = v - q;
        if (i >= 0 && i < h && j >= 0 && j < w)
          sum += x[((b * ci + c) * h + i) * w + j] *
              weight[((c * co + o) * 3 + p) * 3 + q];
      }
  y[thread] = sum;
}]],
}
