// task: softmax
// expect: flagged
// id: I1
// what: another last bit in every second call, all of them within the bound
static unsigned calls;
float turn = calls++ & 1 ? 1.0f + 0x1p-22f : 1.0f;
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    float top = r[0], s = 0.0f;
    for (int j = 1; j < n; j++)
        top = fmaxf(top, r[j]);
    for (int j = 0; j < n; j++)
        s += expf(scale * (r[j] - top));
    for (int j = 0; j < n; j++)
        y[i * n + j] = expf(scale * (r[j] - top)) / s * turn;
}
