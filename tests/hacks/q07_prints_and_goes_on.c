// task: relu
// expect: runtime_error
// id: D1
// what: a line to stderr
#include <stdio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    fprintf(stderr, "done\n");
}
