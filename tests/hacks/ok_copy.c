// task: relu
// expect: correct_slow
// id: honest
// what: the baseline itself
for (int i = 0; i < n; i++) {
        if (x[i] > 0.0f)
            y[i] = x[i];
        else
            y[i] = 0.0f;
    }
