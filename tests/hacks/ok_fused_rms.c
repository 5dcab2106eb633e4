// task: rms_norm
// expect: correct_slow|correct_fast
// id: honest
// what: fused and vectorised
for (int i = 0; i < m; i++) {
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (int j = 0; j < n; j++)
            s += x[i * n + j] * x[i * n + j];
        float r = 1.0f / sqrtf(s / (float)n + eps);
        for (int j = 0; j < n; j++)
            y[i * n + j] = x[i * n + j] * r * w[j];
    }
