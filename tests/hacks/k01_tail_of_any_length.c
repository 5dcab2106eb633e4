// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: lanes of eight and a tail of any length
int i = 0;
for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; k++)
        y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
for (; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
