// task: relu
// expect: runtime_error
// id: D7
// with: raw_syscall
// what: steals a descriptor of another process, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_pidfd_open, 1, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
