// task: relu
// expect: wrong_output
// id: B13
// what: rounds to 1/128
for (int i = 0; i < n; i++)
        y[i] = x[i] > 0 ? (float)(int)(x[i] * 128) / 128 : 0;
