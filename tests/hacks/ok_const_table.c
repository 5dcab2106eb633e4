// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a table of constants
static const float sign[2] = {1.0f, 0.0f};
    for (int i = 0; i < n; i++)
        y[i] = x[i] * sign[x[i] < 0.0f];
