-- SPDX-License-Identifier: Apache-2.0
-- y = A x.
return {
  id = 4, name = "matvec", level = 1, family = "matmul",
  title = "4_Matrix_vector_multiplication_",
  sizes = {
    cpu = { m = 89, k = 2053 },
    hidden = { m = 5, k = 131 },
    search = { m = 128, k = 524288 },
    full = { m = 2048, k = 1048576 },
  },
  size_order = { "m", "k" },
  arrays = {
    { name = "a", role = "in", dtype = "f32", shape = { "m", "k" },
      dist = { "uniform", "normal", "cancel", "rowscale", "needle" } },
    { name = "x", role = "in", dtype = "f32", shape = { "k" },
      dist = { "uniform", "normal", "cancel", "normal", "normal" } },
    { name = "y", role = "out", dtype = "f32", shape = { "m" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "4 * (m * k + k + m)", flops = "2 * m * k",
  body = [[
  for (int i = 0; i < m; i++) {
    float sum = 0.0f;
    for (int p = 0; p < k; p++)
      sum += a[i * k + p] * x[p];
    y[i] = sum;
  }]],
  tuned = [[
  for (int i = 0; i < m; i++) {
    const float *restrict row = a + i * k;
    float s0 = 0.0f, s1 = 0.0f;
    int h = k / 2;
    #pragma omp simd reduction(+ : s0, s1)
    for (int p = 0; p < h; p++) {
      s0 += row[p] * x[p];
      s1 += row[h + p] * x[h + p];
    }
    if (k % 2)
      s0 += row[k - 1] * x[k - 1];
    y[i] = s0 + s1;
  }]],
  cuda = [[
// scratch part bytes(4 * 1024 * m)
// launch parts grid(4, m) block(256) args(a, x, part, k)
// launch sums grid(ceil_div(m, 64)) block(64) args(part, y, m)
extern "C" __global__ void parts(const float *__restrict__ a, const float *__restrict__ x, float *part, int k)
{
  int lane = blockIdx.x * 256 + threadIdx.x;
  long long row = blockIdx.y;
  float sum = 0.0f;
  for (int p = lane; p < k; p += 1024)
    sum += a[row * k + p] * x[p];
  part[row * 1024 + lane] = sum;
}
extern "C" __global__ void sums(const float *part, float *__restrict__ y, int m)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= m)
    return;
  float sum = 0.0f;
  for (int lane = 0; lane < 1024; lane++)
    sum += part[i * 1024 + lane];
  y[i] = sum;
}]],
}
