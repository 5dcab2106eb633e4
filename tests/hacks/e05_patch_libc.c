// task: relu
// expect: runtime_error
// id: A5
// what: rewrites the C library's exit
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    volatile unsigned char *p = (volatile unsigned char *)(uintptr_t)_exit;
    p[0] = 0xc3;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
