-- SPDX-License-Identifier: Apache-2.0
-- Each channel of each image normalised on its own; no affine part.
return {
  id = 34, name = "instance_norm", level = 1, family = "norm",
  title = "34_InstanceNorm",
  sizes = {
    cpu = { n = 5, c = 29, s = 625 },
    hidden = { n = 2, c = 3, s = 81 },
    search = { n = 2, c = 64, s = 262144 },
    full = { n = 112, c = 64, s = 262144 },
  },
  size_order = { "n", "c", "s" },
  range = { s = { 1, 40000 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "s" },
      dist = { "uniform", "normal", "offset", "tiny", "constant", "rowscale", "needle" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "s" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * c * s", flops = "6 * n * c * s",
  body = [[
  for (int r = 0; r < n * c; r++) {
    float mean = 0.0f, var = 0.0f;
    for (int i = 0; i < s; i++)
      mean += x[r * s + i];
    mean /= (float)s;
    for (int i = 0; i < s; i++)
      var += (x[r * s + i] - mean) * (x[r * s + i] - mean);
    for (int i = 0; i < s; i++)
      y[r * s + i] = (x[r * s + i] - mean) / sqrtf(var / (float)s + eps);
  }]],
  tuned = [[
  for (int r = 0; r < n * c; r++) {
    const float *restrict in = x + r * s;
    float *restrict out = y + r * s;
    float mean = 0.0f, var = 0.0f;
    #pragma omp simd reduction(+ : mean)
    for (int i = 0; i < s; i++)
      mean += in[i];
    mean /= (float)(s);
    #pragma omp simd reduction(+ : var)
    for (int i = 0; i < s; i++)
      var += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(var / (float)(s) + eps);
    #pragma omp simd
    for (int i = 0; i < s; i++)
      out[i] = (in[i] - mean) * scale;
  }]],
  cuda = [[
// scratch part bytes(4 * 256 * (n * c))
// scratch first bytes(4 * (n * c))
// scratch second bytes(4 * (n * c))
// launch parts grid(1, n * c) block(256) args(x, part, n, c, s)
// launch rows grid(ceil_div(n * c, 64)) block(64) args(part, first, n, c, s)
// launch squares grid(1, n * c) block(256) args(x, first, part, n, c, s)
// launch rows grid(ceil_div(n * c, 64)) block(64) args(part, second, n, c, s)
// launch finish grid(ceil_div(s, 256), n * c) block(256) args(x, first, second, y, eps, n, c, s)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n, int c, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < s; e += 256)
    sum += x[r * s + e];
  part[r * 256 + lane] = sum;
}
extern "C" __global__ void rows(const float *part, float *row, int n, int c, int s)
{
  int r = blockIdx.x * 64 + threadIdx.x;
  if (r >= n * c)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 256; lane++)
    sum += part[r * 256 + lane];
  row[r] = sum / (float)(s);
}
extern "C" __global__ void squares(const float *__restrict__ x, const float *first, float *part, int n, int c, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < s; e += 256)
    sum += (x[r * s + e] - first[r]) * (x[r * s + e] - first[r]);
  part[r * 256 + lane] = sum;
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *first, const float *second,
    float *__restrict__ y, float eps, int n, int c, int s)
{
  int e = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  if (e < s)
    y[r * s + e] = (x[r * s + e] - first[r]) / sqrtf(second[r] + eps);
}]],
}
