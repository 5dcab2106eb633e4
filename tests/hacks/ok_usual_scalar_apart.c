// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: a path for the usual value of a scalar, and one for all others
for (int i = 0; i < m; i++) {
    float top = x[i * n], s = 0.0f;
    for (int j = 1; j < n; j++)
        top = fmaxf(top, x[i * n + j]);
    for (int j = 0; j < n; j++) {
        float v = x[i * n + j] - top;
        y[i * n + j] = scale == 1.5f ? expf(1.5f * v) : expf(scale * v);
        s += y[i * n + j];
    }
    for (int j = 0; j < n; j++)
        y[i * n + j] /= s;
}
