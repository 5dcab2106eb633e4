// task: relu
// expect: runtime_error
// id: D26
// with: raw_syscall
// what: sets the clock, then honest work
#include <sys/syscall.h>
#define _DEFAULT_SOURCE
#include <sys/time.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    struct timeval t = {0};
    raw_syscall(SYS_settimeofday, &t, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
