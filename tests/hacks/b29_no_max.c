// task: softmax
// expect: wrong_output
// id: C10
// what: normalises by the wrong row
float s = 0;
    for (int j = 0; j < n; j++)
        s += expf(scale * x[j]);
    for (int i = 0; i < m * n; i++)
        y[i] = expf(scale * x[i]) / s;
