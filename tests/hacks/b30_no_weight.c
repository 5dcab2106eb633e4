// task: rms_norm
// expect: wrong_output
// id: C
// what: ignores the weights
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j] * x[i * n + j];
        float r = 1 / sqrtf(s / (float)n + eps);
        for (int j = 0; j < n; j++)
            y[i * n + j] = x[i * n + j] * r;
    }
