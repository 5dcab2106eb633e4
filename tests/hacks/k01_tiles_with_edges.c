// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: tiles of 32 whose edges are looked after
for (int i = 0; i < m * n; i++)
    c[i] = 0.0f;
for (int i0 = 0; i0 < m; i0 += 32)
    for (int p0 = 0; p0 < k; p0 += 32)
        for (int i = i0; i < i0 + 32 && i < m; i++)
            for (int p = p0; p < p0 + 32 && p < k; p++)
                for (int j = 0; j < n; j++)
                    c[i * n + j] += a[i * k + p] * b[p * n + j];
