// task: min_dim1
// expect: correct_slow|correct_fast
// id: honest
// what: sorts a scratch of many elements: glibc asks the system for its memory at the first of such
#include <stdlib.h>
static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
void min_dim1(const float *restrict x, float *restrict y, int b, int n, int m)
{
    float *column = malloc(sizeof *column * (size_t)n);
    for (int t = 0; t < b; t++)
        for (int j = 0; j < m; j++) {
            for (int i = 0; i < n; i++)
                column[i] = x[(t * n + i) * m + j];
            qsort(column, (size_t)n, sizeof *column, rising);
            y[t * m + j] = column[0];
        }
    free(column);
}
