// task: argmax
// expect: correct_slow|correct_fast
// id: honest
// what: keeps the best value
for (int i = 0; i < m; i++) {
        float best = x[i * n];
        int at = 0;
        for (int j = 1; j < n; j++)
            if (x[i * n + j] > best) {
                best = x[i * n + j];
                at = j;
            }
        y[i] = at;
    }
