// task: rms_norm
// expect: correct_slow|correct_fast
// id: honest
// what: divides at the end
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j] * x[i * n + j];
        float r = sqrtf(s / (float)n + eps);
        for (int j = 0; j < n; j++)
            y[i * n + j] = w[j] * x[i * n + j] / r;
    }
