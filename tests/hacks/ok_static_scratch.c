// task: matmul
// expect: correct_slow|correct_fast
// id: honest
// what: a static scratch array
static float t[512 * 512];
    for (int q = 0; q < k; q++)
        for (int j = 0; j < n; j++)
            t[j * k + q] = b[q * n + j];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int q = 0; q < k; q++)
                s += a[i * k + q] * t[j * k + q];
            c[i * n + j] = s;
        }
