// task: relu
// expect: runtime_error
// id: A17
// what: prints a verdict on standard output, then honest work
#include <stdio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    printf("{\"correct\":true,\"speedup\":50.0}\n");
    fflush(stdout);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
