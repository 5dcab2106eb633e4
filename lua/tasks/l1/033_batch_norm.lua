-- SPDX-License-Identifier: Apache-2.0
-- Batch statistics (a fresh module trains), biased variance, affine. The running statistics that the module also
-- updates are not part of its output.
return {
  id = 33, name = "batch_norm", level = 1, family = "norm",
  title = "33_BatchNorm",
  sizes = {
    cpu = { n = 11, c = 18, s = 441 },
    hidden = { n = 3, c = 6, s = 49 },
    search = { n = 2, c = 64, s = 262144 },
    full = { n = 64, c = 64, s = 262144 },
  },
  size_order = { "n", "c", "s" },
  -- The distribution "tiny" makes every third row small: whole channels, with these c. A channel of equal small
  -- deviations between ordinary ones is summed with roundings that all go one way.
  where = { "n * s <= 40000", "c % 3 == 0" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "c", "s" },
      dist = { "uniform", "normal", "offset", "tiny", "flat", "needle" } },
    { name = "weight", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "bias", role = "weight", dtype = "f32", shape = { "c" }, dist = { "uniform", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "c", "s" } },
  },
  scalars = { { name = "eps", type = "f32", value = 1e-5 } },
  rtol = 0, atol = 0,
  bytes = "8 * n * c * s + 8 * c", flops = "7 * n * c * s",
  body = [[
  for (int k = 0; k < c; k++) {
    float mean = 0.0f, var = 0.0f;
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++)
        mean += x[(b * c + k) * s + i];
    mean /= (float)(n * s);
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++) {
        float d = x[(b * c + k) * s + i] - mean;
        var += d * d;
      }
    var /= (float)(n * s);
    for (int b = 0; b < n; b++)
      for (int i = 0; i < s; i++) {
        int p = (b * c + k) * s + i;
        y[p] = (x[p] - mean) / sqrtf(var + eps) * weight[k] + bias[k];
      }
  }]],
  tuned = [[
  for (int k = 0; k < c; k++) {
    float mean = 0.0f, var = 0.0f;
    for (int b = 0; b < n; b++) {
      const float *restrict row = x + (b * c + k) * s;
      #pragma omp simd reduction(+ : mean)
      for (int i = 0; i < s; i++)
        mean += row[i];
    }
    mean /= (float)(n * s);
    for (int b = 0; b < n; b++) {
      const float *restrict row = x + (b * c + k) * s;
      #pragma omp simd reduction(+ : var)
      for (int i = 0; i < s; i++)
        var += (row[i] - mean) * (row[i] - mean);
    }
    float scale = weight[k] / sqrtf(var / (float)(n * s) + eps);
    for (int b = 0; b < n; b++) {
      int p = (b * c + k) * s;
      #pragma omp simd
      for (int i = 0; i < s; i++)
        y[p + i] = (x[p + i] - mean) * scale + bias[k];
    }
  }]],
  cuda = [[
// scratch part bytes(4 * 1024 * (c))
// scratch first bytes(4 * (c))
// scratch second bytes(4 * (c))
// launch parts grid(4, c) block(256) args(x, part, n, c, s)
// launch rows grid(ceil_div(c, 64)) block(64) args(part, first, n, c, s)
// launch squares grid(4, c) block(256) args(x, first, part, n, c, s)
// launch rows grid(ceil_div(c, 64)) block(64) args(part, second, n, c, s)
// launch finish grid(ceil_div(n * s, 256), c) block(256) args(x, weight, bias, first, second, y, eps, n, c, s)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n, int c, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < n * s; e += 1024)
    sum += x[(e / s * c + r) * s + e % s];
  part[r * 1024 + lane] = sum;
}
extern "C" __global__ void rows(const float *part, float *row, int n, int c, int s)
{
  int r = blockIdx.x * 64 + threadIdx.x;
  if (r >= c)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 1024; lane++)
    sum += part[r * 1024 + lane];
  row[r] = sum / (float)(n * s);
}
extern "C" __global__ void squares(const float *__restrict__ x, const float *first, float *part, int n, int c, int s)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < n * s; e += 1024)
    sum += (x[(e / s * c + r) * s + e % s] - first[r]) * (x[(e / s * c + r) * s + e % s] - first[r]);
  part[r * 1024 + lane] = sum;
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *__restrict__ weight,
    const float *__restrict__ bias, const float *first, const float *second,
    float *__restrict__ y, float eps, int n, int c, int s)
{
  int e = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  if (e < n * s)
    y[(e / s * c + r) * s + e % s] = (x[(e / s * c + r) * s + e % s] - first[r]) / sqrtf(second[r] +
        eps) * weight[r] + bias[r];
}]],
}
