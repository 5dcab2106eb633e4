-- SPDX-License-Identifier: Apache-2.0
-- Transposed 2D convolution, 3 x 5, stride (2, 3), padding (1, 2), dilation (2, 1), 4 groups.
return {
  id = 75, name = "conv2d_transposed_grouped", level = 1, family = "convolution",
  title = "75_conv_transposed_2D_asymmetric_input_asymmetric_kernel_strided__grouped____padded____dilated__",
  sizes = {
    cpu = { n = 2, ci = 8, co = 16, h = 23, w = 37 },
    hidden = { n = 2, ci = 4, co = 8, h = 3, w = 5 },
    search = { n = 2, ci = 32, co = 64, h = 128, w = 256 },
    full = { n = 16, ci = 32, co = 64, h = 128, w = 256 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  where = { "ci % 4 == 0", "co % 4 == 0" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co / 4", "3", "5" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co / 4 * 15" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "2 * h + 1", "3 * w - 2" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + ci * (co / 4) * 3 * 5 + n * co * (2 * h + 1) * (3 * w - 2))",
  flops = "2 * n * ci * h * w * (co / 4) * 15",
  body = [[
  int oh = 2 * h + 1, ow = 3 * w - 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
          for (int o = 0; o < co / 4; o++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 5; q++) {
                int k = (c / (ci / 4)) * (co / 4) + o;
                int u = 2 * i + 2 * p - 1, v = 3 * j + q - 2;
                if (u >= 0 && u < oh && v >= 0 && v < ow)
                  y[((b * co + k) * oh + u) * ow + v] +=
                      x[((b * ci + c) * h + i) * w + j] * weight[((c * (co / 4) + o) * 3 + p) * 5 + q];
              }]],
  tuned = [[
  int oh = 2 * h + 1, ow = 3 * w - 2;
  for (int i = 0; i < n * co * oh * ow; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co / 4; o++) {
        int k = (c / (ci / 4)) * (co / 4) + o;
        for (int p = 0; p < 3; p++) {
          for (int i = 0; i < h; i++) {
            int u = 2 * i + 2 * p - 1;
            if (u < 0 || u >= oh)
              continue;
            const float *restrict in = x + ((b * ci + c) * h + i) * w;
            float *restrict out = y + ((b * co + k) * oh + u) * ow;
            for (int q = 0; q < 5; q++) {
              float w0 = weight[((c * (co / 4) + o) * 3 + p) * 5 + q];
              int at = q - 2;
              int lo = at < 0 ? (-at + 2) / 3 : 0, hi = (ow - at + 2) / 3;
              hi = hi < w ? hi : w;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[3 * j + at] += w0 * in[j];
            }
          }
        }
      }]],
  cuda = [[
// launch conv2d_transposed_grouped grid(ceil_div(n * co * (2 * h + 1) * (3 * w - 2), 256)) block(256) args(x, weight, y, n, ci, co, h, w)
extern "C" __global__ void conv2d_transposed_grouped(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int h, int w)
{
  int oh = 2 * h + 1, ow = 3 * w - 2;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, o = thread / ow / oh % co, b = thread / ow / oh / co;
  float sum = 0.0f;
  int first = o / (co / 4) * (ci / 4);
  for (int c = first; c < first + ci / 4; c++)
    for (int p = 0; p < 3; p++)
      for (int q = 0; q < 5; q++) {
        int i = u + 1 - 2 * p, j = v + 2 - q;
        if (i >= 0 && i % 2 == 0 && i / 2 < h && j >= 0 && j % 3 == 0 && j / 3 < w)
          sum += x[((b * ci + c) * h + i / 2) * w + j / 3] *
              weight[((c * (co / 4) + o % (co / 4)) * 3 + p) * 5 + q];
      }
  y[thread] = sum;
}]],
}
