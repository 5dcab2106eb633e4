// task: relu
// expect: runtime_error
// id: D5
// with: raw_syscall
// what: installs a handler for memory faults, then honest work
#include <sys/syscall.h>
#include <signal.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_rt_sigaction, SIGSEGV, 0, 0, 8);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
