// task: rms_norm
// expect: correct_slow|correct_fast
// id: honest
// what: one division a row
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    float part[4] = {0};
    for (int j = 0; j < n; j++)
        part[j % 4] += r[j] * r[j];
    float factor = 1.0f / sqrtf(((part[0] + part[1]) + (part[2] + part[3])) / (float)n + eps);
    for (int j = 0; j < n; j++)
        y[i * n + j] = r[j] * factor * w[j];
}
