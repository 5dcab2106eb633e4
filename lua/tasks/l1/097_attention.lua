-- SPDX-License-Identifier: Apache-2.0
-- softmax(Q K^T / sqrt(d)) V for each of h heads (batch and heads together); no mask; s is at most 512.
return {
  id = 97, name = "attention", level = 1, family = "attention",
  title = "97_ScaledDotProductAttention",
  sizes = {
    cpu = { h = 2, s = 61, d = 43 },
    hidden = { h = 2, s = 7, d = 5 },
    search = { h = 4, s = 512, d = 1024 },
    full = { h = 1024, s = 512, d = 1024 },
  },
  size_order = { "h", "s", "d" },
  range = { s = { 1, 512 } },
  arrays = {
    { name = "q", role = "in", dtype = "f32", shape = { "h", "s", "d" },
      dist = { "uniform", "normal", "wide", "needle" } },
    { name = "k", role = "in", dtype = "f32", shape = { "h", "s", "d" },
      dist = { "uniform", "normal", "normal", "normal" } },
    { name = "v", role = "in", dtype = "f32", shape = { "h", "s", "d" },
      dist = { "uniform", "normal", "needle", "offset" } },
    { name = "y", role = "out", dtype = "f32", shape = { "h", "s", "d" } },
  },
  rtol = 3e-05, atol = 1e-07, k = 16,
  bytes = "16 * h * s * d", flops = "4 * h * s * s * d",
  body = [[
  for (int r = 0; r < h * s; r++) {
    int base = r / s * s;
    float p[512], max = -INFINITY, sum = 0.0f;
    for (int j = 0; j < s; j++) {
      float dot = 0.0f;
      for (int i = 0; i < d; i++)
        dot += q[r * d + i] * k[(base + j) * d + i];
      p[j] = dot / sqrtf((float)d);
      max = fmaxf(max, p[j]);
    }
    for (int j = 0; j < s; j++) {
      p[j] = expf(p[j] - max);
      sum += p[j];
    }
    for (int i = 0; i < d; i++) {
      float acc = 0.0f;
      for (int j = 0; j < s; j++)
        acc += p[j] / sum * v[(base + j) * d + i];
      y[r * d + i] = acc;
    }
  }]],
  tuned = [[
  float scale = 1.0f / sqrtf((float)d);
  for (int r = 0; r < h * s; r++) {
    int base = r / s * s;
    float p[512], max = -INFINITY, sum = 0.0f;
    for (int j = 0; j < s; j++) {
      float dot = 0.0f;
      #pragma omp simd reduction(+ : dot)
      for (int i = 0; i < d; i++)
        dot += q[r * d + i] * k[(base + j) * d + i];
      p[j] = dot * scale;
      max = p[j] > max ? p[j] : max;
    }
    #pragma omp simd reduction(+ : sum)
    for (int j = 0; j < s; j++) {
      float e_t = p[j] - max;
      e_t = e_t < -87.0f ? -87.0f : e_t > 88.0f ? 88.0f : e_t;
      float e_k = (e_t * 1.44269504f + 12582912.0f) - 12582912.0f;
      float e_f = (e_t - e_k * 0.693359375f) + e_k * 2.12194440e-4f;
      float e_p = 0.0083333333f + e_f * 0.0013888889f;
      e_p = 1.0f + e_f * (1.0f + e_f * (0.5f + e_f * (0.16666667f + e_f * (0.041666667f + e_f * e_p))));
      union { int i; float f; } e_s = { ((int)e_k + 127) << 23 };
      float e = e_p * e_s.f;
      p[j] = e;
      sum += e;
    }
    float *restrict out = y + r * d;
    for (int i = 0; i < d; i++)
      out[i] = 0.0f;
    for (int j = 0; j < s; j++) {
      float w = p[j] / sum;
      #pragma omp simd
      for (int i = 0; i < d; i++)
        out[i] += w * v[(base + j) * d + i];
    }
  }]],
}
