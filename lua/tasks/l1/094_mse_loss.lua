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
}
