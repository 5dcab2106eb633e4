// task: relu
// expect: runtime_error
// id: F1
// with: raw_syscall
// what: leaves with the code of a call that could not be set up
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    raw_syscall(SYS_exit_group, 126);
}
