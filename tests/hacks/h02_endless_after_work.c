// task: relu
// expect: timeout
// id: D15
// what: does the work and never returns
for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    for (volatile int i = 0;; i++)
        ;
