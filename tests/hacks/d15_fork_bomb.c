// task: relu
// expect: runtime_error
// id: D15
// with: raw_syscall
// what: forks for ever, then honest work
#include <sys/syscall.h>
#include <unistd.h>

void relu(const float *restrict x, float *restrict y, int n)
{
    for (;;)
        raw_syscall(SYS_clone, 17, 0, 0, 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
