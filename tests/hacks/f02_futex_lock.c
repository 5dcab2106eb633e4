// task: relu
// expect: runtime_error
// id: F2
// with: raw_syscall
// what: takes a lock with priority inheritance on its own memory
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    static int word;
    raw_syscall(SYS_futex, &word, 6, 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
