// task: relu
// expect: runtime_error
// id: D22
// with: raw_syscall
// what: maps zeros over an input, then honest work
#include <sys/syscall.h>
#include <sys/mman.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_mmap, (void *)((uintptr_t)x & ~4095ul), 4096, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
