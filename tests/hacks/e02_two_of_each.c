// task: argmax
// expect: wrong_output|runtime_error
// id: E2
// what: compares the first two columns without a question: wrong with one column
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    int best = r[1] > r[0] ? 1 : 0;
    for (int j = 2; j < n; j++)
        if (r[j] > r[best])
            best = j;
    y[i] = best;
}
