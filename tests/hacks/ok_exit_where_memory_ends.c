// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: ends the program where there is no memory
#include <stdio.h>
#include <stdlib.h>
void cumsum(const float *restrict x, float *restrict y, int n)
{
    double *t = malloc((size_t)n * sizeof *t), s = 0.0;
    if (!t) {
        fprintf(stderr, "cumsum: no memory for %d numbers\n", n);
        exit(EXIT_FAILURE);
    }
    for (int i = 0; i < n; i++)
        t[i] = s += x[i];
    for (int i = 0; i < n; i++)
        y[i] = (float)t[i];
    free(t);
}
