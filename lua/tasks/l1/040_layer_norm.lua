-- SPDX-License-Identifier: Apache-2.0
-- Each row (the last three dimensions flattened) normalised, affine per element.
return {
  id = 40, name = "layer_norm", level = 1, family = "norm",
  title = "40_LayerNorm",
  sizes = {
    cpu = { n = 23, m = 3701 },
    hidden = { n = 3, m = 67 },
    search = { n = 4, m = 4194304 },
    full = { n = 16, m = 4194304 },
  },
  size_order = { "n", "m" },
  range = { m = { 1, 40000 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "tiny", "constant", "rowscale", "needle" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "m" }, dist = { "uniform", "normal" } },
    { name = "bias", role = "weight", dtype = "f32", shape = { "m" }, dist = { "uniform", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * m + 8 * m", flops = "8 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float mean = 0.0f, var = 0.0f;
    for (int j = 0; j < m; j++)
      mean += x[i * m + j];
    mean /= (float)m;
    for (int j = 0; j < m; j++)
      var += (x[i * m + j] - mean) * (x[i * m + j] - mean);
    for (int j = 0; j < m; j++)
      y[i * m + j] = (x[i * m + j] - mean) / sqrtf(var / (float)m + eps) * weight[j] + bias[j];
  }]],
  tuned = [[
  for (int r = 0; r < n; r++) {
    const float *restrict in = x + r * m;
    float *restrict out = y + r * m;
    float mean = 0.0f, var = 0.0f;
    #pragma omp simd reduction(+ : mean)
    for (int i = 0; i < m; i++)
      mean += in[i];
    mean /= (float)(m);
    #pragma omp simd reduction(+ : var)
    for (int i = 0; i < m; i++)
      var += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(var / (float)(m) + eps);
    #pragma omp simd
    for (int i = 0; i < m; i++)
      out[i] = (in[i] - mean) * scale * weight[i] + bias[i];
  }]],
  cuda = [[
// scratch part bytes(4 * 4096 * (n))
// scratch first bytes(4 * (n))
// scratch second bytes(4 * (n))
// launch parts grid(16, n) block(256) args(x, part, n, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(part, first, n, m)
// launch squares grid(16, n) block(256) args(x, first, part, n, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(part, second, n, m)
// launch finish grid(ceil_div(m, 256), n) block(256) args(x, weight, bias, first, second, y, eps, n, m)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n, int m)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < m; e += 4096)
    sum += x[r * m + e];
  part[r * 4096 + lane] = sum;
}
extern "C" __global__ void rows(const float *part, float *row, int n, int m)
{
  int r = blockIdx.x * 64 + threadIdx.x;
  if (r >= n)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 4096; lane++)
    sum += part[r * 4096 + lane];
  row[r] = sum / (float)(m);
}
extern "C" __global__ void squares(const float *__restrict__ x, const float *first, float *part, int n, int m)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < m; e += 4096)
    sum += (x[r * m + e] - first[r]) * (x[r * m + e] - first[r]);
  part[r * 4096 + lane] = sum;
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *__restrict__ weight,
    const float *__restrict__ bias, const float *first, const float *second,
    float *__restrict__ y, float eps, int n, int m)
{
  int e = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  if (e < m)
    y[r * m + e] = (x[r * m + e] - first[r]) / sqrtf(second[r] + eps) * weight[e] + bias[e];
}]],
}
