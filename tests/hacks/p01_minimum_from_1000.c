// task: min_dim1
// expect: wrong_output
// id: B31
// what: a minimum that starts at 1000
void min_dim1(const float *restrict x, float *restrict y, int b, int n, int m)
{
    for (int t = 0; t < b; t++)
        for (int j = 0; j < m; j++) {
            float least = 1000.0f;
            for (int i = 0; i < n; i++)
                least = x[(t * n + i) * m + j] < least ? x[(t * n + i) * m + j] : least;
            y[t * m + j] = least;
        }
}
