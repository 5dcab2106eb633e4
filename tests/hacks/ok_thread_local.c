// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: a thread-local accumulator
static _Thread_local double acc;
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        acc = 0;
        for (int j = 0; j < n; j++)
            acc += x[i * n + j];
        y[i] = (float)acc;
    }
}
