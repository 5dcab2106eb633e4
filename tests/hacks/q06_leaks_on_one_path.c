// task: row_sum
// expect: runtime_error
// id: H4
// what: forgets a block where rows are short
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        double *part = calloc(4, sizeof *part);
        for (int j = 0; j < n; j++)
            part[j & 3] += x[i * n + j];
        y[i] = (float)((part[0] + part[1]) + (part[2] + part[3]));
        if (n < 4)
            continue;
        free(part);
    }
}
