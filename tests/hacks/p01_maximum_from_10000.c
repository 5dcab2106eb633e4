// task: row_max
// expect: wrong_output
// id: B31
// what: a maximum that starts at -1e4f
void row_max(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float top = -1e4f;
        for (int j = 0; j < n; j++)
            top = x[i * n + j] > top ? x[i * n + j] : top;
        y[i] = top;
    }
}
