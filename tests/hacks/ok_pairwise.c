// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: pairwise sum by recursion
static float pair(const float *p, int n)
{
    if (n <= 32) {
        float s = 0;
        for (int i = 0; i < n; i++)
            s += p[i];
        return s;
    }
    return pair(p, n / 2) + pair(p + n / 2, n - n / 2);
}
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++)
        y[i] = pair(x + (size_t)i * n, n);
}
