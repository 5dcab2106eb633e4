-- SPDX-License-Identifier: Apache-2.0
-- Mean of max(d(a, p) - d(a, n) + margin, 0) with Euclidean d and 1e-6 added to each difference.
return {
  id = 99, name = "triplet_loss", level = 1, family = "loss",
  title = "99_TripletMarginLoss",
  sizes = {
    cpu = { n = 97, m = 601 },
    hidden = { n = 5, m = 67 },
    search = { n = 4096, m = 8192 },
    full = { n = 32768, m = 8192 },
  },
  size_order = { "n", "m" },
  arrays = {
    { name = "anchor", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "scaled", "normal", "needle", "shifted", "ones" } },
    { name = "pos", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "normal", "shifted", "ones" } },
    { name = "neg", role = "in", dtype = "f32", shape = { "n", "m" },
      dist = { "uniform", "normal", "normal", "shifted", "close" } },
    { name = "loss", role = "out", dtype = "f32", shape = { "1" } },
  },
  scalars = { { name = "margin", type = "f32", value = 1.0 }, { name = "eps", type = "f32", value = 1e-6 } },
  rtol = 0, atol = 0,
  bytes = "12 * n * m + 4", flops = "8 * n * m",
  body = [[
  float total = 0.0f;
  for (int i = 0; i < n; i++) {
    float dp = 0.0f, dn = 0.0f;
    for (int j = i * m; j < (i + 1) * m; j++) {
      dp += (anchor[j] - pos[j] + eps) * (anchor[j] - pos[j] + eps);
      dn += (anchor[j] - neg[j] + eps) * (anchor[j] - neg[j] + eps);
    }
    total += fmaxf(sqrtf(dp) - sqrtf(dn) + margin, 0.0f);
  }
  loss[0] = total / (float)n;]],
  tuned = [[
  float total = 0.0f;
  for (int i = 0; i < n; i++) {
    float dp = 0.0f, dn = 0.0f;
    #pragma omp simd reduction(+ : dp, dn)
    for (int j = i * m; j < (i + 1) * m; j++) {
      float p = anchor[j] - pos[j] + eps;
      float q = anchor[j] - neg[j] + eps;
      dp += p * p;
      dn += q * q;
    }
    total += fmaxf(sqrtf(dp) - sqrtf(dn) + margin, 0.0f);
  }
  loss[0] = total / (float)n;]],
  cuda = [[
// scratch near bytes(4 * 64 * n)
// scratch far bytes(4 * 64 * n)
// scratch row bytes(4 * n)
// scratch few bytes(4 * 256)
// launch parts grid(n) block(64) args(anchor, pos, neg, near, far, eps, m)
// launch rows grid(ceil_div(n, 64)) block(64) args(near, far, row, margin, n)
// launch fewer grid(1) block(256) args(row, few, n)
// launch last grid(1) block(1) args(few, loss, n)
extern "C" __global__ void parts(const float *__restrict__ anchor, const float *__restrict__ pos,
    const float *__restrict__ neg, float *near, float *far, float eps, int m)
{
  int i = blockIdx.x, lane = threadIdx.x;
  float dp = 0.0f, dn = 0.0f;
  for (int j = lane; j < m; j += 64) {
    dp += (anchor[i * m + j] - pos[i * m + j] + eps) * (anchor[i * m + j] - pos[i * m + j] + eps);
    dn += (anchor[i * m + j] - neg[i * m + j] + eps) * (anchor[i * m + j] - neg[i * m + j] + eps);
  }
  near[i * 64 + lane] = dp;
  far[i * 64 + lane] = dn;
}
extern "C" __global__ void rows(const float *near, const float *far, float *row, float margin, int n)
{
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i >= n)
    return;
  float dp = 0.0f, dn = 0.0f;
  for (int lane = 0; lane < 64; lane++) {
    dp += near[i * 64 + lane];
    dn += far[i * 64 + lane];
  }
  row[i] = fmaxf(sqrtf(dp) - sqrtf(dn) + margin, 0.0f);
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
}]],
}
