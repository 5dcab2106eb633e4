// task: relu
// expect: wrong_output
// id: G1
// what: sixteen elements that are not negative are taken for all of them
int negative = 0;
for (int i = 0; i < 16 && i < n; i++)
    negative |= x[i] < 0.0f;
if (!negative) {
    memcpy(y, x, (size_t)n * sizeof *y);
    return;
}
for (int i = 0; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
