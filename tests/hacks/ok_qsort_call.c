// task: argmax
// expect: correct_slow|correct_fast
// id: honest
// what: calls the C library
for (int i = 0; i < m; i++) {
        int at = 0;
        for (int j = 1; j < n; j++)
            at = memcmp(&x[i * n + j], &x[i * n + at], 4) && x[i * n + j] > x[i * n + at] ? j : at;
        y[i] = at;
    }
