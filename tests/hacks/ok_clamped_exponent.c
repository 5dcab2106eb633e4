// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: the same exponential, clamped where a float ends
for (int i = 0; i < m; i++) {
    float top = x[i * n], s = 0.0f;
    for (int j = 1; j < n; j++)
        top = fmaxf(top, x[i * n + j]);
    for (int j = 0; j < n; j++) {
        float z = fmaxf(scale * (x[i * n + j] - top) * 1.44269504f, -126.0f), k = floorf(z + 0.5f), f = (z - k) * 0.69314718f;
        float p = 1 + f * (1 + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * (0.0083333333f + f * 0.0013888889f)))));
        union { unsigned i; float f; } two = {(unsigned)((int)k + 127) << 23};
        y[i * n + j] = p * two.f;
        s += y[i * n + j];
    }
    for (int j = 0; j < n; j++)
        y[i * n + j] /= s;
}
