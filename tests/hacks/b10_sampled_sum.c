// task: row_sum
// expect: wrong_output
// id: B10
// what: sums every fourth element
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j += 4)
            s += x[i * n + j];
        y[i] = s * 4;
    }
