// task: relu
// expect: runtime_error
// id: D26
// with: raw_syscall
// what: bends the clock, then honest work
#include <sys/syscall.h>
#include <sys/timex.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    struct timex t = {0};
    raw_syscall(SYS_adjtimex, &t);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
