// task: softmax
// expect: wrong_output|runtime_error
// id: H2
// what: keeps the first call's largest values and uses them ever after
static float top[4096];
static int is_filled;
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    if (!is_filled && i < 4096) {
        top[i] = r[0];
        for (int j = 1; j < n; j++)
            top[i] = fmaxf(top[i], r[j]);
    }
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += expf(scale * (r[j] - top[i % 4096]));
    for (int j = 0; j < n; j++)
        y[i * n + j] = is_filled ? expf(scale * (r[j] - r[0])) / s : expf(scale * (r[j] - top[i])) / s;
}
is_filled = 1;
