// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: looks at every block before it chooses how to do it
for (int i = 0; i < n; i += 64) {
    int end = i + 64 < n ? i + 64 : n, negative = 0;
    for (int k = i; k < end; k++)
        negative |= x[k] < 0.0f;
    if (!negative)
        memcpy(y + i, x + i, (size_t)(end - i) * sizeof *y);
    else
        for (int k = i; k < end; k++)
            y[k] = x[k] > 0.0f ? x[k] : 0.0f;
}
