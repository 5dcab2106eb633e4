-- SPDX-License-Identifier: Apache-2.0
-- Softmax over each row.
return {
  id = 23, name = "softmax", level = 1, family = "softmax",
  title = "23_Softmax",
  sizes = {
    cpu = { n = 31, m = 1531 },
    hidden = { n = 5, m = 67 },
    search = { n = 64, m = 393216 },
    full = { n = 4096, m = 393216 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "offset", "logits", "constant", "needle" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n", "m" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n * m", flops = "5 * n * m",
  body = [[
  for (int i = 0; i < n; i++) {
    float max = x[i * m], sum = 0.0f;
    for (int j = 1; j < m; j++)
      max = fmaxf(max, x[i * m + j]);
    for (int j = 0; j < m; j++)
      sum += expf(x[i * m + j] - max);
    for (int j = 0; j < m; j++)
      y[i * m + j] = expf(x[i * m + j] - max) / sum;
  }]],
  tuned = [[
  for (int i = 0; i < n; i++) {
    const float *restrict row = x + i * m;
    float *restrict out = y + i * m;
    float top[8];
    for (int q = 0; q < 8; q++)
      top[q] = row[0];
    int j = 0;
    for (; j + 8 <= m; j += 8)
      for (int q = 0; q < 8; q++)
        top[q] = row[j + q] > top[q] ? row[j + q] : top[q];
    float max = top[0];
    for (int q = 1; q < 8; q++)
      max = top[q] > max ? top[q] : max;
    for (; j < m; j++)
      max = row[j] > max ? row[j] : max;
    float sum = 0.0f;
    #pragma omp simd reduction(+ : sum)
    for (int k = 0; k < m; k++) {
      float e_t = row[k] - max;
      e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
      float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
      float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
      float e_p = 0.0083333333f + e_f * 0.0013888889f;
      e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
      union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
      float e = e_p * e_s.f;
      out[k] = e;
      sum += e;
    }
    float scale = 1.0f / sum;
    #pragma omp simd
    for (int k = 0; k < m; k++)
      out[k] *= scale;
  }]],
  cuda = [[
// scratch part bytes(4 * 1024 * n)
// scratch top bytes(4 * n)
// scratch total bytes(4 * n)
// launch maxima grid(4, n) block(256) args(x, part, m)
// launch max_rows grid(ceil_div(n, 64)) block(64) args(part, top, n)
// launch sums grid(4, n) block(256) args(x, top, part, m)
// launch sum_rows grid(ceil_div(n, 64)) block(64) args(part, total, n)
// launch finish grid(ceil_div(m, 256), n) block(256) args(x, top, total, y, m)
extern "C" __global__ void maxima(const float *__restrict__ x, float *part, int m)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long row = blockIdx.y;
  float max = -INFINITY;
  for (int j = lane; j < m; j += 1024)
    max = fmaxf(max, x[row * m + j]);
  part[row * 1024 + lane] = max;
}
extern "C" __global__ void max_rows(const float *part, float *top, int n)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float max = part[i * 1024];
  for (int lane = 1; lane < 1024; lane++)
    max = fmaxf(max, part[i * 1024 + lane]);
  top[i] = max;
}
extern "C" __global__ void sums(const float *__restrict__ x, const float *top, float *part, int m)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long row = blockIdx.y;
  float sum = 0.0f;
  for (int j = lane; j < m; j += 1024)
    sum += expf(x[row * m + j] - top[row]);
  part[row * 1024 + lane] = sum;
}
extern "C" __global__ void sum_rows(const float *part, float *total, int n)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 1024; lane++)
    sum += part[i * 1024 + lane];
  total[i] = sum;
}
extern "C" __global__ void finish(const float *__restrict__ x, const float *top, const float *total,
    float *__restrict__ y, int m)
{
  int j = blockIdx.x * 256 + threadIdx.x;
  long long i = blockIdx.y;
  if (j < m)
    y[i * m + j] = expf(x[i * m + j] - top[i]) / total[i];
}]],
}
