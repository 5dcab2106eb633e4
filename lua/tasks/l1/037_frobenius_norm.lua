-- SPDX-License-Identifier: Apache-2.0
-- x over the square root of the sum of all squares. k is 16: in a serial sum of half a million squares the
-- roundings are no longer independent.
return {
  id = 37, name = "frobenius_norm", level = 1, family = "norm",
  title = "37_FrobeniusNorm_",
  sizes = {
    cpu = { n = 80021 },
    hidden = { n = 1003 },
    search = { n = 29360128 },
    full = { n = 1879048192 },
  },
  size_order = { "n" },
  range = { n = { 1, 100000 } },
  arrays = {
    { name = "x", role = "in", dtype = "f32", shape = { "n" },
      dist = { "uniform", "normal", "needle", "tiny", "constant", "offset" } },
    { name = "y", role = "out", dtype = "f32", shape = { "n" } },
  },
  rtol = 0, atol = 0, k = 16,
  bytes = "8 * n", flops = "3 * n",
  body = [[
  float sum = 0.0f;
  for (int i = 0; i < n; i++)
    sum += x[i] * x[i];
  for (int i = 0; i < n; i++)
    y[i] = x[i] / sqrtf(sum);]],
  tuned = [[
  float sum = 0.0f;
  #pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; i++)
    sum += x[i] * x[i];
  float scale = 1.0f / sqrtf(sum);
  #pragma omp simd
  for (int i = 0; i < n; i++)
    y[i] = x[i] * scale;]],
  cuda = [[
// scratch part bytes(4 * 65536)
// scratch few bytes(4 * 256)
// scratch all bytes(4)
// launch parts grid(256) block(256) args(x, part, n)
// launch fewer grid(1) block(256) args(part, few)
// launch last grid(1) block(1) args(few, all, n)
// launch scale grid(ceil_div(n, 256)) block(256) args(x, all, y, n)
extern "C" __global__ void parts(const float *__restrict__ x, float *part, int n)
{
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.0f;
  for (int i = thread; i < n; i += 65536) {
    sum += x[i] * x[i];
  }
  part[thread] = sum;
}
extern "C" __global__ void fewer(const float *part, float *few)
{
  float sum = 0.0f;
  for (int i = threadIdx.x; i < 65536; i += 256)
    sum += part[i];
  few[threadIdx.x] = sum;
}
extern "C" __global__ void last(const float *few, float *all, int n)
{
  float sum = 0.0f;
  for (int i = 0; i < 256; i++)
    sum += few[i];
  all[0] = sum;
}
extern "C" __global__ void scale(const float *__restrict__ x, const float *all, float *__restrict__ y, int n)
{
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread < n)
    y[thread] = x[thread] / sqrtf(all[0]);
}]],
}
