-- SPDX-License-Identifier: Apache-2.0
-- Channels in g equal groups, each normalised with its spatial extent; affine per channel.
return {
  id = 35, name = "group_norm", level = 1, family = "norm",
  title = "35_GroupNorm_",
  sizes = {
    cpu = { n = 5, c = 24, g = 8, s = 729 },
    hidden = { n = 2, c = 6, g = 3, s = 25 },
    search = { n = 2, c = 64, g = 8, s = 262144 },
    full = { n = 112, c = 64, g = 8, s = 262144 },
  },
  size_order = { "n", "c", "g", "s" },
  where = { "c % g == 0", "c / g * s <= 40000" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "s" },
      dist = { "uniform", "normal", "offset", "tiny", "constant", "rowscale", "needle" }, block = "c / g * s" },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "bias", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "s" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * c * s + 8 * c", flops = "8 * n * c * s",
  body = [[
  int len = c / g * s;
  for (int r = 0; r < n * g; r++) {
    float mean = 0.0f, var = 0.0f;
    for (int i = 0; i < len; i++)
      mean += x[r * len + i];
    mean /= (float)len;
    for (int i = 0; i < len; i++)
      var += (x[r * len + i] - mean) * (x[r * len + i] - mean);
    for (int i = 0; i < len; i++) {
      int k = r % g * (c / g) + i / s;
      y[r * len + i] = (x[r * len + i] - mean) / sqrtf(var / (float)len + eps) * weight[k] + bias[k];
    }
  }]],
  tuned = [[
  int len = c / g * s;
  for (int r = 0; r < n * g; r++) {
    const float *restrict in = x + r * len;
    float *restrict out = y + r * len;
    float mean = 0.0f, var = 0.0f;
    #pragma omp simd reduction(+ : mean)
    for (int i = 0; i < len; i++)
      mean += in[i];
    mean /= (float)(len);
    #pragma omp simd reduction(+ : var)
    for (int i = 0; i < len; i++)
      var += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(var / (float)(len) + eps);
    for (int q = 0; q < c / g; q++) {
      int k = r % g * (c / g) + q;
      float w = weight[k] * scale, shift = bias[k];
      #pragma omp simd
      for (int i = q * s; i < (q + 1) * s; i++)
        out[i] = (in[i] - mean) * w + shift;
    }
  }]],
  cuda = [[
// scratch part bytes(4 * 1024 * (n * g))
// scratch first bytes(4 * (n * g))
// scratch second bytes(4 * (n * g))
// launch parts grid(4, n * g) block(256) args(x, part, n, c, g, s)
// launch rows grid(ceil_div(n * g, 64)) block(64) args(part, first, n, c, g, s)
// launch squares grid(4, n * g) block(256) args(x, first, part, n, c, g, s)
// launch rows grid(ceil_div(n * g, 64)) block(64) args(part, second, n, c, g, s)
// launch finish grid(ceil_div(c / g * s, 256), n * g) block(256) args(x, weight, bias, first, second, y, eps, n, c, g, s)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n, int c, int g, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < c / g * s; e += 1024)
    sum += x[r * (c / g * s) + e];
  part[r * 1024 + lane] = sum;
}
extern "C" __global__ void rows(const float *part, float *row, int n, int c, int g, int s)
{
  int r = blockIdx.x * 64 + threadIdx.x;
  if (r >= n * g)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 1024; lane++)
    sum += part[r * 1024 + lane];
  row[r] = sum / (float)(c / g * s);
}
extern "C" __global__ void squares(const float *__restrict__ x, const float *first, float *part, int n, int c,
    int g, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < c / g * s; e += 1024)
    sum += (x[r * (c / g * s) + e] - first[r]) * (x[r * (c / g * s) + e] - first[r]);
  part[r * 1024 + lane] = sum;
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *__restrict__ weight,
    const float *__restrict__ bias, const float *first, const float *second,
    float *__restrict__ y, float eps, int n, int c, int g, int s)
{
  int e = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  if (e < c / g * s)
    y[r * (c / g * s) + e] = (x[r * (c / g * s) + e] - first[r]) / sqrtf(second[r] +
        eps) * weight[r % g * (c / g) + e / s] +
        bias[r % g * (c / g) + e / s];
}]],
}
