// task: relu
// expect: wrong_output
// id: B14
// what: writes infinity
for (int i = 0; i < n; i++)
        y[i] = INFINITY;
