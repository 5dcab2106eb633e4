// task: relu
// expect: runtime_error
// id: F2
// with: raw_syscall
// what: unmaps all addresses
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    raw_syscall(SYS_munmap, 0, 1ul << 46);
}
