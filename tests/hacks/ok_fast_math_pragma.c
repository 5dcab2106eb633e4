// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: reassociation by pragma
#pragma GCC optimize("O3,associative-math,no-signed-zeros,no-trapping-math")
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
}
