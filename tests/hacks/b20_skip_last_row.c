// task: row_sum
// expect: wrong_output
// id: B20
// what: leaves out the last row
for (int i = 0; i + 1 < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
