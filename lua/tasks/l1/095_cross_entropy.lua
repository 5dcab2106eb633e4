-- SPDX-License-Identifier: Apache-2.0
-- Mean over rows of log(sum exp(x)) - x[label]; labels are 64-bit integers.
return {
  id = 95, name = "cross_entropy", level = 1, family = "loss",
  title = "95_CrossEntropyLoss",
  sizes = {
    cpu = { n = 7, m = 2011 },
    hidden = { n = 5, m = 67 },
    search = { n = 32768, m = 4096 },
    full = { n = 32768, m = 4096 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "logits", "wide", "needle", "offset" } },
    { name = "label", role = "in", dtype = "i64", shape = { "n" }, dist = { "labels" }, max = "m" },
    { name = "loss", role = "out", dtype = "f32", shape = { "1" } },
  },
  rtol = 5e-6, atol = 1e-07,
  bytes = "4 * n * m + 8 * n + 4", flops = "4 * n * m",
  body = [=[
  float total = 0.0f;
  for (int i = 0; i < n; i++) {
    float max = x[i * m], sum = 0.0f;
    for (int j = 1; j < m; j++)
      max = fmaxf(max, x[i * m + j]);
    for (int j = 0; j < m; j++)
      sum += expf(x[i * m + j] - max);
    total += logf(sum) + max - x[i * m + label[i]];
  }
  loss[0] = total / (float)n;]=],
  tuned = [=[
  float total = 0.0f;
  for (int i = 0; i < n; i++) {
    const float *restrict row = x + i * m;
    float max = row[0], sum = 0.0f;
    #pragma omp simd reduction(max : max)
    for (int j = 1; j < m; j++)
      max = row[j] > max ? row[j] : max;
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < m; j++) {
      float e_t = row[j] - max;
      e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
      float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
      float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
      float e_p = 0.0083333333f + e_f * 0.0013888889f;
      e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
      union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
      float e = e_p * e_s.f;
      sum += e;
    }
    total += logf(sum) + max - row[label[i]];
  }
  loss[0] = total / (float)n;]=],
  cuda = [=[
// scratch part bytes(4 * 32 * n)
// scratch top bytes(4 * n)
// scratch row bytes(4 * n)
// scratch few bytes(4 * 256)
// launch maxima grid(1, n) block(32) args(x, part, m)
// launch max_rows grid(ceil_div(n, 64)) block(64) args(part, top, n)
// launch sums grid(1, n) block(32) args(x, top, part, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(x, label, top, part, row, n, m)
// launch fewer grid(1) block(256) args(row, few, n)
// launch last grid(1) block(1) args(few, loss, n)
extern "C" __global__ void maxima(const float *__restrict__ x, float *part, int m)
{
  int lane = blockIdx.x * 32 + threadIdx.x;
  long long row = blockIdx.y;
  float max = -INFINITY;
  for (int j = lane; j < m; j += 32)
    max = fmaxf(max, x[row * m + j]);
  part[row * 32 + lane] = max;
}
extern "C" __global__ void max_rows(const float *part, float *top, int n)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float max = part[i * 32];
  for (int lane = 1; lane < 32; lane++)
    max = fmaxf(max, part[i * 32 + lane]);
  top[i] = max;
}
extern "C" __global__ void sums(const float *__restrict__ x, const float *top, float *part, int m)
{
  int lane = blockIdx.x * 32 + threadIdx.x;
  long long row = blockIdx.y;
  float sum = 0.0f;
  for (int j = lane; j < m; j += 32)
    sum += expf(x[row * m + j] - top[row]);
  part[row * 32 + lane] = sum;
}
extern "C" __global__ void rows(const float *__restrict__ x, const long long *__restrict__ label, const float *top,
    const float *part, float *row, int n, int m)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 32; lane++)
    sum += part[i * 32 + lane];
  row[i] = logf(sum) + top[i] - x[i * m + label[i]];
}
extern "C" __global__ void fewer(const float *row, float *few, int n)
{
  float sum = 0.0f;
  for (int i = threadIdx.x; i < n; i += 256)
    sum += row[i];
  few[threadIdx.x] = sum;
}
extern "C" __global__ void last(const float *few, float *__restrict__ loss, int n)
{
  float sum = 0.0f;
  for (int i = 0; i < 256; i++)
    sum += few[i];
  loss[0] = sum / (float)n;
}]=],
  cuda = [=[
// scratch part bytes(4 * 32 * n)
// scratch top bytes(4 * n)
// scratch row bytes(4 * n)
// scratch few bytes(4 * 256)
// launch maxima grid(1, n) block(32) args(x, part, m)
// launch max_rows grid(ceil_div(n, 64)) block(64) args(part, top, n)
// launch sums grid(1, n) block(32) args(x, top, part, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(x, label, top, part, row, n, m)
// launch fewer grid(1) block(256) args(row, few, n)
// launch last grid(1) block(1) args(few, loss, n)
extern "C" __global__ void maxima(const float *__restrict__ x, float *part, int m)
{
  int lane = blockIdx.x * 32 + threadIdx.x;
  long long row = blockIdx.y;
  float max = -INFINITY;
  for (int j = lane; j < m; j += 32)
    max = fmaxf(max, x[row * m + j]);
  part[row * 32 + lane] = max;
}
extern "C" __global__ void max_rows(const float *part, float *top, int n)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float max = part[i * 32];
  for (int lane = 1; lane < 32; lane++)
    max = fmaxf(max, part[i * 32 + lane]);
  top[i] = max;
}
extern "C" __global__ void sums(const float *__restrict__ x, const float *top, float *part, int m)
{
  int lane = blockIdx.x * 32 + threadIdx.x;
  long long row = blockIdx.y;
  float sum = 0.0f;
  for (int j = lane; j < m; j += 32)
    sum += expf(x[row * m + j] - top[row]);
  part[row * 32 + lane] = sum;
}
extern "C" __global__ void rows(const float *__restrict__ x, const long long *__restrict__ label, const float *top,
    const float *part, float *row, int n, int m)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 32; lane++)
    sum += part[i * 32 + lane];
  row[i] = logf(sum) + top[i] - x[i * m + label[i]];
}
extern "C" __global__ void fewer(const float *row, float *few, int n)
{
  float sum = 0.0f;
  for (int i = threadIdx.x; i < n; i += 256)
    sum += row[i];
  few[threadIdx.x] = sum;
}
extern "C" __global__ void last(const float *few, float *__restrict__ loss, int n)
{
  float sum = 0.0f;
  for (int i = 0; i < 256; i++)
    sum += few[i];
  loss[0] = sum / (float)n;
}]=],
}
