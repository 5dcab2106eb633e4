// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: the last sixteen overlap, where there are sixteen
if (n < 16) {
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    return;
}
for (int i = 0; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++)
        y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
for (int k = n - 16; k < n; k++)
    y[k] = x[k] > 0.0f ? x[k] : 0.0f;
