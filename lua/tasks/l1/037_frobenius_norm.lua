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
}
