// task: relu
// expect: runtime_error
// id: D4
// what: does the work, then leaves instead of returning
for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    exit(0);
