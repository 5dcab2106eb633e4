-- SPDX-License-Identifier: Apache-2.0
-- Transposed 1D convolution, 5 taps, dilation 3.
return {
  id = 74, name = "conv1d_transposed_dilated", level = 1, family = "convolution",
  title = "74_conv_transposed_1D_dilated",
  sizes = {
    cpu = { n = 2, ci = 11, co = 13, l = 1021 },
    hidden = { n = 2, ci = 2, co = 3, l = 17 },
    search = { n = 2, ci = 32, co = 64, l = 131072 },
    full = { n = 32, ci = 32, co = 64, l = 131072 },
  },
  size_order = { "n", "ci", "co", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "l" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "5" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 5" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "l + 12" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * l + ci * co * 5 + n * co * (l + 12))", flops = "2 * n * ci * l * co * 5",
  body = [[
  int ol = l + 12;
  for (int i = 0; i < n * co * ol; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < l; i++)
        for (int o = 0; o < co; o++)
          for (int p = 0; p < 5; p++)
            y[(b * co + o) * ol + i + 3 * p] += x[(b * ci + c) * l + i] * weight[(c * co + o) * 5 + p];]],
  tuned = [[
  int ol = l + 12;
  for (int i = 0; i < n * co * ol; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        const float *restrict in = x + (b * ci + c) * l;
        float *restrict out = y + (b * co + o) * ol;
        for (int p = 0; p < 5; p++) {
          float w0 = weight[(c * co + o) * 5 + p];
          #pragma omp simd
          for (int j = 0; j < l; j++)
            out[j + 3 * p] += w0 * in[j];
        }
      }]],
  cuda = [[
// launch conv1d_transposed_dilated grid(ceil_div(n * co * (l + 12), 256)) block(256) args(x, weight, y, n, ci, co, l)
extern "C" __global__ void conv1d_transposed_dilated(const float *__restrict__ x,
    const float *__restrict__ weight, float *__restrict__ y,
    int n, int ci, int co, int l)
{
  int ol = l + 12;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * ol)
    return;
  int u = thread % ol, o = thread / ol % co, b = thread / ol / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int q = 0; q < 5; q++) {
      int i = u - 3 * q;
      if (i >= 0 && i < l)
        sum += x[(b * ci + c) * l + i] *
            weight[(c * co + o) * 5 + q];
    }
  y[thread] = sum;
}]],
}
