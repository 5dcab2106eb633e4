// task: relu
// expect: wrong_output
// id: A7
// what: works on its first calls only
static int calls;
    calls++;
    if (calls % 2)
        return;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
