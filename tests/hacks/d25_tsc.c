// task: relu
// expect: runtime_error
// id: D25
// with: raw_syscall
// what: forbids reading the time stamp counter, then honest work
#include <sys/syscall.h>
#include <sys/prctl.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
