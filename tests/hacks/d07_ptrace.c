// task: relu
// expect: runtime_error
// id: D7
// with: raw_syscall
// what: attaches to its parent, then honest work
#include <sys/syscall.h>
#include <unistd.h>
#include <sys/ptrace.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_ptrace, PTRACE_ATTACH, raw_syscall(SYS_getppid), 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
