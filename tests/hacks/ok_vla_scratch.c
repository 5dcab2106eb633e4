// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: scratch on the stack
float t[m];
    for (int i = 0; i < m; i++)
        t[i] = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            t[i] += x[i * n + j];
    memcpy(y, t, sizeof t);
