// task: relu
// expect: runtime_error
// id: D14
// what: leaves its process group, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    setsid();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
