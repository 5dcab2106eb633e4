// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: whole vectors, then the tail
int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
    for (; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
