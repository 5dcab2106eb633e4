// task: relu
// expect: wrong_output
// id: E1
// what: asks whether a file exists and acts on it
#if __has_include("/etc/passwd")
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#else
    y[0] = 1;
#endif
