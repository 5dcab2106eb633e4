// task: argmax
// expect: wrong_output
// id: B28
// what: returns the last index on ties and one too far
for (int i = 0; i < m; i++) {
        int at = 0;
        for (int j = 1; j < n; j++)
            if (x[i * n + j] >= x[i * n + at])
                at = j;
        y[i] = at + 1;
    }
