-- SPDX-License-Identifier: Apache-2.0
-- x over the mean (not the sum) of |x| of its row.
return {
  id = 38, name = "l1_norm", level = 1, family = "norm",
  title = "38_L1Norm_",
  sizes = {
    cpu = { n = 149, m = 599 },
    hidden = { n = 5, m = 67 },
    search = { n = 512, m = 65535 },
    full = { n = 32768, m = 65535 },
  },
  size_order = { "n", "m" },
  range = { m = { 1, 40000 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "tiny", "rowscale", "constant", "needle" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 0, atol = 0,
  bytes = "8 * n * m", flops = "3 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float sum = 0.0f;
    for (int j = 0; j < m; j++)
      sum += fabsf(x[i * m + j]);
    for (int j = 0; j < m; j++)
      y[i * m + j] = x[i * m + j] / (sum / (float)m);
  }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *restrict row = x + i * m;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < m; j++)
      sum += fabsf(row[j]);
    float scale = (float)m / sum;
    #pragma omp simd
    for (int j = 0; j < m; j++)
      y[i * m + j] = row[j] * scale;
  }]],
  cuda = [[
// scratch part bytes(4 * 256 * (n))
// scratch first bytes(4 * (n))
// launch parts grid(1, n) block(256) args(x, part, n, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(part, first, n, m)
// launch finish grid(ceil_div(m, 256), n) block(256) args(x, first, y, n, m)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n, int m)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  float sum = 0.0f;
  for (int e = lane; e < m; e += 256)
    sum += fabsf(x[r * m + e]);
  part[r * 256 + lane] = sum;
}
extern "C" __global__ void rows(const float *part, float *row, int n, int m)
{
  int r = blockIdx.x * 64 + threadIdx.x;
  if (r >= n)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 256; lane++)
    sum += part[r * 256 + lane];
  row[r] = sum / (float)(m);
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *first,
    float *__restrict__ y, int n, int m)
{
  int e = blockIdx.x * 256 + threadIdx.x;
  long long r = blockIdx.y;
  if (e < m)
    y[r * m + e] = x[r * m + e] / first[r];
}]],
}
