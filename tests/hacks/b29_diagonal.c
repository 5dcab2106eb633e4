// task: matmul
// expect: wrong_output
// id: C10
// what: treats the matrix as diagonal
for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[i * n + j] = a[i * k + i] * b[i * n + j];
