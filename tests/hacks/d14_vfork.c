// task: relu
// expect: runtime_error
// id: D14
// what: forks without copying, then honest work
#include <unistd.h>

void relu(const float *restrict x, float *restrict y, int n)
{
    if (vfork() == 0)
        _exit(0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
