// task: relu
// expect: runtime_error
// id: D6
// what: installs a handler for SIGSYS, then honest work
#include <signal.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    struct sigaction a = {.sa_handler = SIG_IGN};
    sigaction(SIGSYS, &a, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
