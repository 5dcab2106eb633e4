// task: relu
// expect: runtime_error
// id: D15
// what: aborts to leave a core file, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    abort();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
