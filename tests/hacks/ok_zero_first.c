// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: clears, then fills
memset(y, 0, (size_t)n * 4);
    for (int i = 0; i < n; i++)
        if (x[i] > 0.0f)
            y[i] = x[i];
