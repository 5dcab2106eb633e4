-- SPDX-License-Identifier: Apache-2.0
-- Mean squared difference. The benchmark multiplies the predictions by one random number.
return {
  id = 94, name = "mse_loss", level = 1, family = "loss",
  title = "94_MSELoss",
  sizes = {
    cpu = { n = 67, m = 1301 },
    hidden = { n = 5, m = 67 },
    search = { n = 2048, m = 32768 },
    full = { n = 32768, m = 32768 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "pred", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "scaled", "normal", "wide", "shifted", "ties" } },
    { name = "target", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "normal", "shifted", "normal" } },
    { name = "loss", role = "out", dtype = "f32", shape = { "1" } },
  },
  rtol = 0, atol = 0,
  bytes = "8 * n * m + 4", flops = "3 * n * m",
  body = [[
  float sum = 0.0f;
  for (int i = 0; i < n * m; i++)
    sum += (pred[i] - target[i]) * (pred[i] - target[i]);
  loss[0] = sum / (float)(n * m);]],
  tuned = [[
  float sum = 0.0f;
  #pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n * m; i++)
    sum += (pred[i] - target[i]) * (pred[i] - target[i]);
  loss[0] = sum / (float)(n * m);]],
  cuda = [[
// scratch part bytes(4 * 65536)
// scratch few bytes(4 * 256)
// launch parts grid(256) block(256) args(pred, target, part, n, m)
// launch fewer grid(1) block(256) args(part, few)
// launch last grid(1) block(1) args(few, loss, n, m)
extern "C" __global__ void parts(const float *__restrict__ pred, const float *__restrict__ target, float *part,
    int n, int m)
{
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.0f;
  for (int i = thread; i < n * m; i += 65536) {
    sum += (pred[i] - target[i]) * (pred[i] - target[i]);
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
extern "C" __global__ void last(const float *few, float *loss, int n, int m)
{
  float sum = 0.0f;
  for (int i = 0; i < 256; i++)
    sum += few[i];
  loss[0] = sum / (float)(n * m);
}]],
}
