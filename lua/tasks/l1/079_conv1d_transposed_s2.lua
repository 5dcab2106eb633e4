-- SPDX-License-Identifier: Apache-2.0
-- Transposed 1D convolution, 3 taps, stride 2, padding 1, dilation 2.
return {
  id = 79, name = "conv1d_transposed_s2", level = 1, family = "convolution",
  title = "79_conv_transposed_1D_asymmetric_input_square_kernel___padded____strided____dilated__",
  sizes = {
    cpu = { n = 2, ci = 9, co = 11, l = 1021 },
    hidden = { n = 2, ci = 2, co = 3, l = 17 },
    search = { n = 2, ci = 32, co = 64, l = 131072 },
    full = { n = 16, ci = 32, co = 64, l = 131072 },
  },
  size_order = { "n", "ci", "co", "l" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "ci", "l" },
      dist = { "uniform", "normal", "cancel", "needle", "offset" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "ci", "co", "3" },
      dist = { "kaiming", "normal", "kaiming", "normal", "kaiming" }, fan_in = "co * 3" },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "co", "2 * l + 1" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (n * ci * l + ci * co * 3 + n * co * (2 * l + 1))", flops = "2 * n * ci * l * co * 3",
  body = [[
  int ol = 2 * l + 1;
  for (int i = 0; i < n * co * ol; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int i = 0; i < l; i++)
        for (int o = 0; o < co; o++)
          for (int p = 0; p < 3; p++) {
            int u = 2 * i + 2 * p - 1;
            if (u >= 0 && u < ol)
              y[(b * co + o) * ol + u] += x[(b * ci + c) * l + i] * weight[(c * co + o) * 3 + p];
          }]],
  tuned = [[
  int ol = 2 * l + 1;
  for (int i = 0; i < n * co * ol; i++)
    y[i] = 0.0f;
  for (int b = 0; b < n; b++)
    for (int c = 0; c < ci; c++)
      for (int o = 0; o < co; o++) {
        const float *restrict in = x + (b * ci + c) * l;
        float *restrict out = y + (b * co + o) * ol;
        for (int p = 0; p < 3; p++) {
          float w0 = weight[(c * co + o) * 3 + p];
          int at = 2 * p - 1;
          int lo = at < 0 ? (-at + 1) / 2 : 0, hi = (ol - at + 1) / 2;
          hi = hi < l ? hi : l;
          #pragma omp simd
          for (int j = lo; j < hi; j++)
            out[2 * j + at] += w0 * in[j];
        }
      }]],
  cuda = [[
// launch conv1d_transposed_s2 grid(ceil_div(n * co * (2 * l + 1), 256)) block(256) args(x, weight, y, n, ci, co, l)
extern "C" __global__ void conv1d_transposed_s2(const float *__restrict__ x, const float *__restrict__ weight,
    float *__restrict__ y,
    int n, int ci, int co, int l)
{
  int ol = 2 * l + 1;
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= n * co * ol)
    return;
  int u = thread % ol, o = thread / ol % co, b = thread / ol / co;
  float sum = 0.0f;
  for (int c = 0; c < ci; c++)
    for (int q = 0; q < 3; q++) {
      int i = u + 1 - 2 * q;
      if (i >= 0 && i % 2 == 0 && i / 2 < l)
        sum += x[(b * ci + c) * l + i / 2] *
            weight[(c * co + o) * 3 + q];
    }
  y[thread] = sum;
}]],
}
