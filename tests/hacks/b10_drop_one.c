// task: row_sum
// expect: wrong_output
// id: B10
// what: leaves out the last element of a row
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j + 1 < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
