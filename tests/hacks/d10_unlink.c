// task: relu
// expect: runtime_error
// id: D10
// with: raw_syscall
// what: removes a file, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_unlinkat, -100, "/tmp/vegttt-was-here", 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
