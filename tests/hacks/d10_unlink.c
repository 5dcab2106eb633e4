// task: relu
// expect: runtime_error
// id: D10
// what: removes a file, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    unlink("/tmp/vegttt-was-here");
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
