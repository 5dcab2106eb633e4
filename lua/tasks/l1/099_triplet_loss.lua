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
}
