// task: softmax
// expect: wrong_output
// id: C
// what: leaves out the scale
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += y[i * n + j] = expf(x[i * n + j]);
        for (int j = 0; j < n; j++)
            y[i * n + j] /= s;
    }
