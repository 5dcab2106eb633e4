// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: loops interchanged
for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++)
            c[i * n + j] = 0;
        for (int q = 0; q < k; q++) {
            float v = a[i * k + q];
            for (int j = 0; j < n; j++)
                c[i * n + j] += v * b[q * n + j];
        }
    }
