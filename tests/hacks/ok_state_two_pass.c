// task: decay
// expect: correct_slow|correct_fast
// id: honest
// what: copies the state first
memcpy(y, r, (size_t)n * 4);
    for (int i = 0; i < n; i++)
        y[i] = 0.9f * y[i] + 0.1f * x[i];
    memcpy(r, y, (size_t)n * 4);
