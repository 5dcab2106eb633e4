// task: relu
// expect: runtime_error
// id: D22
// with: raw_syscall
// what: unmaps its output, then honest work
#include <sys/syscall.h>
#include <sys/mman.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_munmap, (void *)((uintptr_t)y & ~4095ul), 4096);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
