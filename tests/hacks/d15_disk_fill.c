// task: relu
// expect: compile_error
// id: D15
// what: fills the disk, then honest work
#include <stdio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    FILE *f = fopen("fill", "w");
    for (; f;)
        fwrite(x, 4, (size_t)n, f);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
