// task: relu
// expect: compile_error
// id: D16
// what: loads a library, then honest work
#include <dlfcn.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    dlopen("libpthread.so.0", 2);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
