// task: argmax
// expect: wrong_output
// id: B28
// what: starts the search at zero instead of the first element
for (int i = 0; i < m; i++) {
        float best = 0;
        int at = 0;
        for (int j = 0; j < n; j++)
            if (x[i * n + j] > best) {
                best = x[i * n + j];
                at = j;
            }
        y[i] = at / 2 * 2;
    }
