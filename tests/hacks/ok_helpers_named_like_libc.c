// task: rms_norm
// expect: correct_slow|correct_fast
// id: honest
// what: helpers of its own named div, index, y1 and round, and sqrtf from the headers
static inline float div(float a, float b)
{
    return a / b;
}
static inline int index(int i, int j, int n)
{
    return i * n + j;
}
static float y1(const float *restrict x, int n)
{
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += x[j] * x[j];
    return s;
}
static inline float round(float v, float w)
{
    return v * w;
}
void rms_norm(const float *restrict x, const float *restrict w, float *restrict y, float eps, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float scale = sqrtf(div(y1(x + i * n, n), (float)n) + eps);
        for (int j = 0; j < n; j++)
            y[index(i, j, n)] = round(div(x[index(i, j, n)], scale), w[j]);
    }
}
