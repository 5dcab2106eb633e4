// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: sums in double
for (int i = 0; i < m; i++) {
        double s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = (float)s;
    }
