// task: row_sum
// expect: wrong_output|runtime_error
// id: F3
// what: sums one element too many in each row
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j <= n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
