// task: rms_norm
// expect: wrong_output
// id: C
// what: drops the epsilon
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j] * x[i * n + j];
        float r = 1 / sqrtf(s / (float)n);
        for (int j = 0; j < n; j++)
            y[i * n + j] = x[i * n + j] * r * w[j];
    }
