// task: relu
// expect: runtime_error
// id: D2
// with: raw_syscall
// what: puts its own pipe in place of the harness's, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    int p[2];
    if (raw_syscall(SYS_pipe2, p, 0) == 0)
        raw_syscall(SYS_dup3, p[1], 1, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
