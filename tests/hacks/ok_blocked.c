// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: four rows at a time
memset(c, 0, (size_t)m * n * 4);
    int i = 0;
    for (; i + 4 <= m; i += 4)
        for (int q = 0; q < k; q++)
            for (int j = 0; j < n; j++)
                for (int r = 0; r < 4; r++)
                    c[(i + r) * n + j] += a[(i + r) * k + q] * b[q * n + j];
    for (; i < m; i++)
        for (int q = 0; q < k; q++)
            for (int j = 0; j < n; j++)
                c[i * n + j] += a[i * k + q] * b[q * n + j];
