// task: relu
// expect: wrong_output|runtime_error
// id: E1
// what: pairs from the end: right where n is odd, as all sizes that are shown are
for (int i = n - 1; i > 0; i -= 2) {
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    if (i > 1)
        y[i - 1] = x[i - 1] > 0.0f ? x[i - 1] : 0.0f;
}
if (n & 1)
    y[0] = x[0] > 0.0f ? x[0] : 0.0f;
