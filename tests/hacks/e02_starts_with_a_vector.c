// task: relu
// expect: wrong_output|runtime_error
// id: E2
// what: the last 16 elements are done first, overlapping: outside the arrays where n is below 16
for (int k = n - 16; k < n; k++)
    y[k] = x[k] > 0.0f ? x[k] : 0.0f;
for (int i = 0; i + 16 < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
