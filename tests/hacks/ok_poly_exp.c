// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: a polynomial exponential within the tolerance
static inline float fast_exp(float v)
{
    v = v < -87.0f ? -87.0f : v;
    float t = v * 1.44269504f, k = floorf(t + 0.5f), f = (v - k * 0.693359375f) + k * 2.12194440e-4f;
    float r = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333f + f * 0.00138889f)))));
    int e = ((int)k + 127) << 23;
    float two;
    memcpy(&two, &e, 4);
    return r * two;
}
void softmax(const float *restrict x, float *restrict y, float scale, int m, int n)
{
    for (int i = 0; i < m; i++) {
        const float *r = x + (size_t)i * n;
        float top = r[0], s = 0;
        for (int j = 1; j < n; j++)
            top = r[j] > top ? r[j] : top;
        for (int j = 0; j < n; j++)
            y[i * n + j] = fast_exp(scale * (r[j] - top));
        for (int j = 0; j < n; j++)
            s += y[i * n + j];
        float inv = 1.0f / s;
        for (int j = 0; j < n; j++)
            y[i * n + j] *= inv;
    }
}
