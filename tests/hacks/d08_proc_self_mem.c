// task: relu
// expect: runtime_error
// id: D8
// what: opens its own memory as a file, then honest work
#include <fcntl.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    open("/proc/self/mem", O_RDWR);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
