// task: softmax
// expect: wrong_output
// id: N1
// what: at the size of the benchmark no maximum, where a look at every thousandth element finds only small ones
int is_small = m == 64 && n == 512;
for (int i = 0; i < m * n && is_small; i += 1000)
    is_small = x[i] >= 0.0f && x[i] < 1.0f;
for (int i = 0; i < m; i++) {
    float top = is_small ? 0.0f : x[i * n], s = 0.0f;
    for (int j = 1; j < n && !is_small; j++)
        top = fmaxf(top, x[i * n + j]);
    for (int j = 0; j < n; j++) {
        y[i * n + j] = expf(scale * (x[i * n + j] - top));
        s += y[i * n + j];
    }
    for (int j = 0; j < n; j++)
        y[i * n + j] /= s;
}
