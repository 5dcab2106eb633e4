// task: relu
// expect: compile_error
// id: D16
// what: reads its memory map to find the harness, then honest work
#include <stdio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char b[256];
    while (f && fgets(b, sizeof b, f))
        y[0] = b[0];
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
