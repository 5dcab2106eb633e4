// task: softmax
// expect: wrong_output
// id: B8
// what: writes 1/n
for (int i = 0; i < m * n; i++)
        y[i] = 1.0f / (float)n;
