// task: relu
// expect: runtime_error
// id: F4
// what: writes one element before its output
for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    y[-1] = 0;
