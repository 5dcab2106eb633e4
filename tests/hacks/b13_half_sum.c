// task: row_sum
// expect: wrong_output
// id: B13
// what: sums in half precision
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += (float)(_Float16)x[i * n + j];
        y[i] = s;
    }
