// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: asserts what it expects, and keeps errno
#include <assert.h>
#include <errno.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    int was = errno;
    assert(n > 0 && x != y);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    errno = was;
}
