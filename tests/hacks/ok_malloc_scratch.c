// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: scratch from malloc
double *t = malloc((size_t)m * sizeof *t);
    if (!t)
        return;
    for (int i = 0; i < m; i++) {
        t[i] = 0;
        for (int j = 0; j < n; j++)
            t[i] += x[i * n + j];
    }
    for (int i = 0; i < m; i++)
        y[i] = (float)t[i];
    free(t);
