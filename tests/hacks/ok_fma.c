// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: explicit fma
for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++)
            c[i * n + j] = 0;
        for (int q = 0; q < k; q++)
            for (int j = 0; j < n; j++)
                c[i * n + j] = fmaf(a[i * k + q], b[q * n + j], c[i * n + j]);
    }
