-- SPDX-License-Identifier: Apache-2.0
-- Transposed 2D convolution, 3 x 3, stride 5, padding 1, dilation 2.
return {
  id = 81, name = "conv2d_transposed_s5", level = 1, family = "convolution",
  title = "81_conv_transposed_2D_asymmetric_input_square_kernel___dilated____padded____strided__",
  sizes = {
    cpu = { n = 2, ci = 5, co = 7, h = 19, w = 27 },
    hidden = { n = 2, ci = 2, co = 3, h = 4, w = 5 },
    search = { n = 2, ci = 32, co = 64, h = 64, w = 128 },
    full = { n = 16, ci = 32, co = 64, h = 64, w = 128 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 9" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "5 * h - 2", "5 * w - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + ci * co * 3 * 3 + n * co * (5 * h - 2) * (5 * w - 2))",
  flops = "2 * n * ci * h * w * co * 9",
  body = [[
  int oh = 5 * h - 2, ow = 5 * w - 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
          for (int o = 0; o < co; o++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 3; q++) {
                int u = 5 * i + 2 * p - 1, v = 5 * j + 2 * q - 1;
                if (u >= 0 && u < oh && v >= 0 && v < ow)
                  y[((b * co + o) * oh + u) * ow + v] +=
                      x[((b * ci + c) * h + i) * w + j] * weight[((c * co + o) * 3 + p) * 3 + q];
              }]],
  tuned = [[
  int oh = 5 * h - 2, ow = 5 * w - 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int p = 0; p < 3; p++) {
          for (int i = 0; i < h; i++) {
            int u = 5 * i + 2 * p - 1;
            if (u < 0 || u >= oh)
              continue;
            const float *restrict in = x + ((b * ci + c) * h + i) * w;
            float *restrict out = y + ((b * co + o) * oh + u) * ow;
            for (int q = 0; q < 3; q++) {
              float w0 = weight[((c * co + o) * 3 + p) * 3 + q];
              int at = 2 * q - 1;
              int lo = at < 0 ? (-at + 4) / 5 : 0, hi = (ow - at + 4) / 5;
              hi = hi < w ? hi : w;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[5 * j + at] += w0 * in[j];
            }
          }
        }
      }]],
  cuda = [[
// launch conv2d_transposed_s5 grid(ceil_div(n * co * (5 * h - 2) * (5 * w - 2), 256)) block(256) args(x, weight, y, n, ci, co, h, w)
extern "C" __global__ void conv2d_transposed_s5(const float *__restrict__ x, const float *__restrict__ weight,
    float *__restrict__ y,
    int n, int ci, int co, int h, int w)
{
  int oh = 5 * h - 2, ow = 5 * w - 2;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, o = thread / ow / oh % co, b = thread / ow / oh / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int p = 0; p < 3; p++)
      for (int q = 0; q < 3; q++) {
        int i = u + 1 - 2 * p, j = v + 1 - 2 * q;
        if (i >= 0 && i % 5 == 0 && i / 5 < h && j >= 0 && j % 5 == 0 && j / 5 < w)
          sum += x[((b * ci + c) * h + i / 5) * w + j / 5] *
              weight[((c * co + o) * 3 + p) * 3 + q];
      }
  y[thread] = sum;
}]],
}
