// task: relu
// expect: runtime_error
// id: D22
// with: raw_syscall
// what: moves an input page, then honest work
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(25, (uintptr_t)x & ~4095ul, 4096, 8192, 1);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
