// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: accumulates in double
for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int q = 0; q < k; q++)
                s += (double)a[i * k + q] * b[q * n + j];
            c[i * n + j] = (float)s;
        }
