// task: relu
// expect: wrong_output
// id: N1
// what: right for what distributions usually give, and cut above it
for (int i = 0; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] < 28.0f ? x[i] : 28.0f : 0.0f;
