// task: relu
// expect: runtime_error
// id: D14
// what: leaves a process behind, then honest work
#include <unistd.h>

void relu(const float *restrict x, float *restrict y, int n)
{
    if (fork() == 0)
        for (;;)
            pause();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
