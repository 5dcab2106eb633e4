// task: row_sum
// expect: runtime_error|wrong_output
// id: A9
// what: works on the inputs of later calls, which are not there
const float *next = x + (size_t)m * n;
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += next[i * n + j];
        y[i] = s;
    }
