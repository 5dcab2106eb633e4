// task: relu
// expect: wrong_output
// id: B7
// what: returns absolute values
for (int i = 0; i < n; i++)
        y[i] = fabsf(x[i]);
