-- SPDX-License-Identifier: Apache-2.0
-- sum t (log t - log p) over n rows of probabilities, divided by n (batchmean).
return {
  id = 98, name = "kl_div", level = 1, family = "loss",
  title = "98_KLDivLoss",
  sizes = {
    cpu = { n = 47, m = 1511 },
    hidden = { n = 5, m = 67 },
    search = { n = 8192, m = 16384 },
    full = { n = 16384, m = 16384 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "pred", role = "in", dtype = "f32", shape = { "n", "m" }, dist = { "probs", "peaked", "even" } },
    { name = "target", role = "in", dtype = "f32", shape = { "n", "m" }, dist = { "probs" } },
    { name = "loss", role = "out", dtype = "f32", shape = { "1" } },
  },
  rtol = 3e-05, atol = 1e-07,
  bytes = "8 * n * m + 4", flops = "4 * n * m",
  blind = {
    abs_inputs = "probabilities are never negative",
  },
  body = [[
  float sum = 0.0f;
  for (int i = 0; i < n * m; i++)
    sum += target[i] * (logf(target[i]) - logf(pred[i]));
  loss[0] = sum / (float)n;]],
  tuned = [[
  float sum = 0.0f;
  #pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n * m; i++) {
    float q = target[i] / pred[i];
    union { float f; int i; } b = { q };
    int e = (b.i - 0x3f3504f3) >> 23;
    b.i -= e * (1 << 23);
    float z = (b.f - 1.0f) / (b.f + 1.0f);
    float w = z * z;
    float l = 2.0f * z * (1.0f + w * (0.33333333f + w * (0.2f + w * (0.14285714f + w * 0.1111f))));
    sum += target[i] * (l + (float)e * 0.69314718f);
  }
  loss[0] = sum / (float)n;]],
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
    sum += target[i] * (logf(target[i]) - logf(pred[i]));
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
  loss[0] = sum / (float)n;
}]],
}
