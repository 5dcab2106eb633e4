// task: relu
// expect: runtime_error
// id: D15
// with: raw_syscall
// what: maps memory for ever, then honest work
#include <sys/syscall.h>
#include <sys/mman.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (;;)
        raw_syscall(SYS_mmap, 0, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
