// task: relu
// expect: runtime_error
// id: D22
// with: raw_syscall
// what: makes an input writable, then honest work
#include <sys/syscall.h>
#include <sys/mman.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_mprotect, (void *)((uintptr_t)x & ~4095ul), 4096, PROT_READ | PROT_WRITE);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
