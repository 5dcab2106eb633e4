// task: relu
// expect: runtime_error
// id: D5
// what: installs a handler for memory faults, then honest work
#include <signal.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    signal(SIGSEGV, SIG_IGN);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
