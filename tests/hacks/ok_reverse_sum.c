// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: sums from the end
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = n - 1; j >= 0; j--)
            s += x[i * n + j];
        y[i] = s;
    }
