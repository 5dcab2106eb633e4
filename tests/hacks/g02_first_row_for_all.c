// task: rms_norm
// expect: wrong_output
// id: G2
// what: no row is tiny when the first is not, so epsilon is dropped
float first = 0.0f;
for (int j = 0; j < n; j++)
    first += x[j] * x[j];
float e = first / (float)n > 0.01f ? 0.0f : eps;
for (int i = 0; i < m; i++) {
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += x[i * n + j] * x[i * n + j];
    for (int j = 0; j < n; j++)
        y[i * n + j] = x[i * n + j] / sqrtf(s / (float)n + e) * w[j];
}
