// task: relu
// expect: runtime_error
// id: F2
// with: raw_syscall
// what: wakes whoever sleeps on its stack
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    int word = 0;
    raw_syscall(SYS_futex, &word, 1, 1 << 30);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
