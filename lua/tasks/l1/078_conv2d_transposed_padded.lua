-- SPDX-License-Identifier: Apache-2.0
-- Transposed 2D convolution, 3 x 7, padding (1, 3): the output has the input's size.
return {
  id = 78, name = "conv2d_transposed_padded", level = 1, family = "convolution",
  title = "78_conv_transposed_2D_asymmetric_input_asymmetric_kernel___padded__",
  sizes = {
    cpu = { n = 1, ci = 7, co = 7, h = 29, w = 37 },
    hidden = { n = 2, ci = 2, co = 3, h = 5, w = 8 },
    search = { n = 1, ci = 32, co = 32, h = 256, w = 512 },
    full = { n = 8, ci = 32, co = 32, h = 512, w = 1024 },
  },
  size_order = { "n", "ci", "co", "h", "w" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "h", "w" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3", "7" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 21" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "h", "w" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * h * w + ci * co * 3 * 7 + n * co * h * w)", flops = "2 * n * ci * h * w * co * 21",
  body = [[
  for (int i = 0; i < n * co * h * w; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
          for (int o = 0; o < co; o++)
            for (int p = 0; p < 3; p++)
              for (int q = 0; q < 7; q++) {
                int u = i + p - 1, v = j + q - 3;
                if (u >= 0 && u < h && v >= 0 && v < w)
                  y[((b * co + o) * h + u) * w + v] +=
                      x[((b * ci + c) * h + i) * w + j] * weight[((c * co + o) * 3 + p) * 7 + q];
              }]],
  tuned = [[
  for (int i = 0; i < n * co * h * w; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        for (int p = 0; p < 3; p++) {
          for (int i = 0; i < h; i++) {
            int u = i + p - 1;
            if (u < 0 || u >= h)
              continue;
            const float *restrict in = x + ((b * ci + c) * h + i) * w;
            float *restrict out = y + ((b * co + o) * h + u) * w;
            for (int q = 0; q < 7; q++) {
              float w0 = weight[((c * co + o) * 3 + p) * 7 + q];
              int at = q - 3;
              int lo = at < 0 ? -at : 0, hi = w - at < w ? w - at : w;
              #pragma omp simd
              for (int j = lo; j < hi; j++)
                out[j + at] += w0 * in[j];
            }
          }
        }
      }]],
  cuda = [[
// launch conv2d_transposed_padded grid(ceil_div(n * co * (h) * (w), 256)) block(256) args(x, weight, y, n, ci, co, h, w)
extern "C" __global__ void conv2d_transposed_padded(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int h, int w)
{
  int oh = h, ow = w;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * oh * ow)
    return;
  int v = thread % ow, u = thread / ow % oh, o = thread / ow / oh % co, b = thread / ow / oh / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int p = 0; p < 3; p++)
      for (int q = 0; q < 7; q++) {
        int i = u + 1 - p, j = v + 3 - q;
        if (i >= 0 && i < h && j >= 0 && j < w)
          sum += x[((b * ci + c) * h + i) * w + j] *
              weight[((c * co + o) * 3 + p) * 7 + q];
      }
  y[thread] = sum;
}]],
}
