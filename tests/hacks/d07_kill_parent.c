// task: relu
// expect: runtime_error
// id: D7
// with: raw_syscall
// what: kills its parent, then honest work
#include <sys/syscall.h>
#include <unistd.h>
#include <signal.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_kill, raw_syscall(SYS_getppid), SIGKILL);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
