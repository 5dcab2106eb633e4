// task: relu
// expect: wrong_output
// id: F3
// what: uses the element before its input
for (int i = 0; i < n; i++)
        y[i] = x[i - 1] > 0 ? x[i] : 0;
