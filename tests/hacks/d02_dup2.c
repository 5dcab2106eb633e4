// task: relu
// expect: runtime_error
// id: D2
// what: puts its own pipe in place of the harness's, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    int p[2];
    if (pipe(p) == 0)
        dup2(p[1], 1);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
