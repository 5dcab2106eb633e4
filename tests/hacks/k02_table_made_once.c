// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: a static that is a function of nothing but the task
static float log2e;
if (log2e == 0.0f)
    log2e = 1.44269504f;
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    float top = r[0], s = 0.0f;
    for (int j = 1; j < n; j++)
        top = fmaxf(top, r[j]);
    for (int j = 0; j < n; j++)
        s += y[i * n + j] = exp2f(scale * log2e * (r[j] - top));
    float inverse = 1.0f / s;
    for (int j = 0; j < n; j++)
        y[i * n + j] *= inverse;
}
