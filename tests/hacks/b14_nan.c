// task: relu
// expect: wrong_output
// id: B14
// what: writes NaN
for (int i = 0; i < n; i++)
        y[i] = NAN;
