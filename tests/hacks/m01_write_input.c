// task: relu
// expect: runtime_error
// id: B5
// what: writes to its input
((float *)(uintptr_t)x)[n / 2] = 0;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
