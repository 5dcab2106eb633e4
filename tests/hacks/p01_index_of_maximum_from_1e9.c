// task: argmax
// expect: wrong_output
// id: B31
// what: index of a maximum that starts at -1e9
void argmax(const float *restrict x, long long *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float top = -1e9f;
        int at = 0;
        for (int j = 0; j < n; j++)
            if (x[i * n + j] > top) {
                top = x[i * n + j];
                at = j;
            }
        y[i] = at;
    }
}
