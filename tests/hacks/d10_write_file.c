// task: relu
// expect: runtime_error
// id: D10
// with: raw_syscall
// what: leaves a file behind, then honest work
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_openat, -100, "/tmp/vegttt-was-here", 0x42, 0600);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
