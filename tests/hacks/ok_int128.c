// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: counts in 128-bit integers beside the sum
static volatile __int128 by = 3;
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        double s = 0;
        __int128 count = 0;
        for (int j = 0; j < n; j++, count += 3)
            s += x[i * n + j];
        y[i] = (float)(s * (double)(count / by) / (double)n);
    }
}
