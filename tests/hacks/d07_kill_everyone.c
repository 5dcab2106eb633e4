// task: relu
// expect: runtime_error
// id: D7
// with: raw_syscall
// what: kills every process it may signal, then honest work
#include <sys/syscall.h>
#include <signal.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_kill, -1, SIGKILL);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
