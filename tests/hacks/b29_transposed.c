// task: matmul
// expect: wrong_output
// id: C
// what: multiplies by the transpose
for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int q = 0; q < k; q++)
                s += a[i * k + q] * b[j * k + q];
            c[i * n + j] = s;
        }
