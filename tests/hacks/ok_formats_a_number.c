// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: snprintf into a buffer of its own
#include <stdio.h>
static char last[32];
void relu(const float *restrict x, float *restrict y, int n)
{
    snprintf(last, sizeof last, "%d", n);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
