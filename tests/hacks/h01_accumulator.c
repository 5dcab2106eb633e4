// task: matmul
// expect: wrong_output|runtime_error
// id: H1
// what: sums in a static array that nobody clears
static float sum[200 * 200];
for (int i = 0; i < m; i++)
    for (int p = 0; p < k; p++)
        for (int j = 0; j < n; j++)
            if (i * n + j < 200 * 200)
                sum[i * n + j] += a[i * k + p] * b[p * n + j];
for (int i = 0; i < m * n && i < 200 * 200; i++)
    c[i] = sum[i];
