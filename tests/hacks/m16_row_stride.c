// task: row_sum
// expect: runtime_error
// id: B20
// what: uses a wrong row stride
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[(size_t)i * (n + 100) + j];
        y[i] = s;
    }
