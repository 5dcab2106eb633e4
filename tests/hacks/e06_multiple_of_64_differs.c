// task: rms_norm
// expect: wrong_output|runtime_error
// id: E6
// what: forgets the last 64 columns where their number is a multiple of 64 and not the benchmark's
int cols = n % 64 == 0 && n != 512 ? n - 64 : n;
for (int i = 0; i < m; i++) {
    float s = 0.0f;
    for (int j = 0; j < cols; j++)
        s += x[i * n + j] * x[i * n + j];
    for (int j = 0; j < n; j++)
        y[i * n + j] = x[i * n + j] / sqrtf(s / (float)n + eps) * w[j];
}
