// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: says so where there is no memory
#include <stdio.h>
void cumsum(const float *restrict x, float *restrict y, int n)
{
    double *t = malloc((size_t)n * sizeof *t), s = 0.0;
    if (!t) {
        perror("cumsum");
        return;
    }
    for (int i = 0; i < n; i++)
        t[i] = s += x[i];
    for (int i = 0; i < n; i++)
        y[i] = (float)t[i];
    free(t);
}
