// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: adds on the x87 stack and leaves it empty
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        long double s = 0.0L;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = (float)s;
    }
}
