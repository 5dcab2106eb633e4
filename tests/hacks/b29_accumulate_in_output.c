// task: matmul
// expect: wrong_output
// id: C
// what: adds to an output it did not clear
for (int i = 0; i < m; i++)
        for (int q = 0; q < k; q++)
            for (int j = 0; j < n; j++)
                c[i * n + j] += a[i * k + q] * b[q * n + j];
