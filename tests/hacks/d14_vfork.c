// task: relu
// expect: runtime_error
// id: D14
// with: raw_syscall
// what: forks without copying, then honest work
#include <sys/syscall.h>
#include <unistd.h>

void relu(const float *restrict x, float *restrict y, int n)
{
    if (raw_syscall(SYS_clone, 0x4111, 0, 0, 0, 0) == 0)
        _exit(0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
