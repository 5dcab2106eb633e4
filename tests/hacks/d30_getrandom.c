// task: relu
// expect: runtime_error
// id: D
// with: raw_syscall
// what: calls getrandom, then honest work
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(318, y, 4, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
