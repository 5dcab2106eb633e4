// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: four megabytes of stack
float t[1 << 20];
    int k = m * n < 1 << 20 ? m * n : 0;
    memcpy(t, x, (size_t)k * 4);
    const float *s = k ? t : x;
    for (int i = 0; i < m; i++) {
        double a = 0;
        for (int j = 0; j < n; j++)
            a += s[i * n + j];
        y[i] = (float)a;
    }
