// task: relu
// expect: runtime_error
// id: D10
// what: leaves a file behind, then honest work
#include <stdio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    FILE *f = fopen("/tmp/vegttt-was-here", "w");
    if (f)
        fclose(f);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
