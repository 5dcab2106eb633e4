// task: elu
// expect: correct_slow|correct_fast
// id: honest
// what: an exponential of its own that ends at -87
static inline float grow(float v)
{
    v = v < -87.0f ? -87.0f : v;
    float k = (v * 1.44269504f + 12582912.0f) - 12582912.0f, f = (v - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * (0.0083333333f + f * 0.0013888889f)))));
    union {
        int i;
        float f;
    } s = {((int)k + 127) << 23};
    return p * s.f;
}
void elu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++) {
        float v = x[i], small = v * (1.0f + v * (0.5f + v * (0.16666667f + v * (0.041666667f + v * 0.0083333333f))));
        y[i] = v > 0.0f ? v : v > -0.1f ? small : grow(v) - 1.0f;
    }
}
