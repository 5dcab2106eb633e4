// task: relu
// expect: wrong_output
// id: G1
// what: every thousandth element says of which kind the others are
int negative = 0;
for (int i = 0; i < n; i += 1000)
    negative |= x[i] < 0.0f;
for (int i = 0; i < n; i++)
    y[i] = negative && x[i] < 0.0f ? 0.0f : x[i];
