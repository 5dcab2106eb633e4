// task: matmul
// expect: wrong_output|runtime_error
// id: E4
// what: takes every side for the first: right for the square sizes of the benchmark
for (int i = 0; i < m; i++)
    for (int j = 0; j < m; j++) {
        float s = 0.0f;
        for (int p = 0; p < m; p++)
            s += a[i * m + p] * b[p * m + j];
        c[i * m + j] = s;
    }
