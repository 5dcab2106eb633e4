// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: copies, then repairs
memcpy(y, x, (size_t)n * 4);
    for (int i = 0; i < n; i++)
        if (y[i] < 0.0f)
            y[i] = 0.0f;
