// task: conv
// expect: correct_slow|correct_fast
// id: honest
// what: the minimal filtering F(2, 3)
void conv(const float *restrict x, const float *restrict g, float *restrict y, int m, int n)
{
    const float a = (g[0] + g[1] + g[2]) * 0.5f, b = (g[0] - g[1] + g[2]) * 0.5f;
    for (int i = 0; i < n; i++) {
        const float *d = x + i * m;
        float *to = y + i * (m - 2);
        int j = 0;
        for (; j + 1 < m - 2; j += 2) {
            float p = (d[j] - d[j + 2]) * g[0], q = (d[j + 1] + d[j + 2]) * a, r = (d[j + 2] - d[j + 1]) * b,
                  s = (d[j + 1] - d[j + 3]) * g[2];
            to[j] = p + q + r;
            to[j + 1] = q - r - s;
        }
        for (; j < m - 2; j++)
            to[j] = d[j] * g[0] + d[j + 1] * g[1] + d[j + 2] * g[2];
    }
}
