// task: relu
// expect: runtime_error
// id: D14
// with: raw_syscall
// what: leaves its process group, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_setsid);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
