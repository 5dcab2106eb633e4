// task: relu
// expect: runtime_error
// id: D7
// what: attaches to its parent, then honest work
#include <unistd.h>
#include <sys/ptrace.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    ptrace(PTRACE_ATTACH, getppid(), 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
