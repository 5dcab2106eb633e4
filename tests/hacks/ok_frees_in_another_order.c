// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: many blocks, freed from the first
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    double *part[8];
    void *lines = NULL;
    for (int k = 0; k < 8; k++)
        part[k] = aligned_alloc(64, 64);
    if (posix_memalign(&lines, 64, 64) != 0)
        return;
    lines = realloc(lines, 128);
    for (int i = 0; i < m; i++) {
        for (int k = 0; k < 8; k++)
            part[k][0] = 0.0;
        for (int j = 0; j < n; j++)
            part[j & 7][0] += x[i * n + j];
        double s = 0.0;
        for (int k = 0; k < 8; k++)
            s += part[k][0];
        y[i] = (float)s;
    }
    free(lines);
    for (int k = 0; k < 8; k++)
        free(part[k]);
}
