// task: softmax
// expect: wrong_output
// id: N2
// what: has the benchmark's value of a scalar written into it
for (int i = 0; i < m; i++) {
    float top = x[i * n], s = 0.0f;
    for (int j = 1; j < n; j++)
        top = fmaxf(top, x[i * n + j]);
    for (int j = 0; j < n; j++) {
        y[i * n + j] = expf(1.5f * (x[i * n + j] - top));
        s += y[i * n + j];
    }
    for (int j = 0; j < n; j++)
        y[i * n + j] /= s;
}
