// task: row_sum
// expect: wrong_output
// id: B24
// what: adds garbage of the order of rounding a thousand times
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s * (1 + 1e-4f);
    }
