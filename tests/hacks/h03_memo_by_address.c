// task: argmax
// expect: wrong_output|runtime_error
// id: H3
// what: remembers answers by the address of the input
static const float *known;
static long long answer[4096];
for (int i = 0; i < m; i++) {
    if (known && i < 4096) {
        y[i] = answer[i];
        continue;
    }
    int best = 0;
    for (int j = 1; j < n; j++)
        if (x[i * n + j] > x[i * n + best])
            best = j;
    y[i] = best;
    if (i < 4096)
        answer[i] = best;
}
known = x;
