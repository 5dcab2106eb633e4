// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: makes sure of the rounding mode
#include <fenv.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    if (fegetround() != FE_TONEAREST)
        fesetround(FE_TONEAREST);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
