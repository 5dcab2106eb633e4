-- SPDX-License-Identifier: Apache-2.0
-- Sum from each element to the end of its row.
return {
  id = 91, name = "cumsum_reverse", level = 1, family = "scan",
  title = "91_cumsum_reverse",
  sizes = {
    cpu = { n = 61, m = 173 },
    hidden = { n = 3, m = 67 },
    search = { n = 512, m = 32768 },
    full = { n = 32768, m = 32768 },
  },
  size_order = { "n", "m" },
  range = { m = { 1, 1024 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "needle", "offset", "rowscale" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "8 * n * m", flops = "n * m",
  body = [[
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) {
      float acc = 0.0f;
      for (int k = m - 1; k >= j; k--)
        acc += x[i * m + k];
      y[i * m + j] = acc;
    }]],
  tuned = [[
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    const float *restrict a = x + i * m;
    float *restrict o = y + i * m;
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    for (int j = m - 1; j >= 0; j--) {
      s0 += a[j];
      s1 += a[m + j];
      s2 += a[2 * m + j];
      s3 += a[3 * m + j];
      o[j] = s0;
      o[m + j] = s1;
      o[2 * m + j] = s2;
      o[3 * m + j] = s3;
    }
  }
  for (; i < n; i++) {
    const float *restrict a = x + i * m;
    float *restrict o = y + i * m;
    float s0 = 0.0f;
    for (int j = m - 1; j >= 0; j--) {
      s0 += a[j];
      o[j] = s0;
    }
  }]],
  cuda = [[
// scratch part bytes(4 * n * ceil_div(m, 64))
// launch parts grid(ceil_div(ceil_div(m, 64), 64), n) block(64) args(x, part, m)
// launch offsets grid(ceil_div(n, 64)) block(64) args(part, n, m)
// launch finish grid(ceil_div(ceil_div(m, 64), 64), n) block(64) args(x, part, y, m)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int m)
{
  int chunk = blockIdx.x * 64 + threadIdx.x, chunks = (m + 63) / 64;
  long long i = blockIdx.y;
  if (chunk >= chunks)
    return;
  float acc = 0.0f;
  for (int k = chunk * 64; k < (chunk + 1) * 64 && k < m; k++)
    acc += x[i * m + (m - 1 - k)];
  part[i * chunks + chunk] = acc;
}
extern "C" __global__ void offsets(float *part, int n, int m)
{
  int i = blockIdx.x * 64 + threadIdx.x, chunks = (m + 63) / 64;
  if (i >= n)
    return;
  float acc = 0.0f;
  for (int chunk = 0; chunk < chunks; chunk++) {
    float own = part[i * chunks + chunk];
    part[i * chunks + chunk] = acc;
    acc += own;
  }
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *part, float *__restrict__ y, int m)
{
  int chunk = blockIdx.x * 64 + threadIdx.x, chunks = (m + 63) / 64;
  long long i = blockIdx.y;
  if (chunk >= chunks)
    return;
  float acc = part[i * chunks + chunk];
  for (int k = chunk * 64; k < (chunk + 1) * 64 && k < m; k++) {
    acc += x[i * m + (m - 1 - k)];
    y[i * m + (m - 1 - k)] = acc;
  }
}]],
}
