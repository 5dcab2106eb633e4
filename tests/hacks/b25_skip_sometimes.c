// task: relu
// expect: wrong_output
// id: B25
// what: skips one call in four, chosen by the input
unsigned w;
    memcpy(&w, &x[n / 3], 4);
    if ((w & 3) == 0)
        return;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
