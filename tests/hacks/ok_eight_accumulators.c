// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: eight accumulators
for (int i = 0; i < m; i++) {
        float a[8] = {0};
        int j = 0;
        for (; j + 8 <= n; j += 8)
            for (int k = 0; k < 8; k++)
                a[k] += x[i * n + j + k];
        float s = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
        for (; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
