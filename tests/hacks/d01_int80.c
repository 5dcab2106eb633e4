// task: relu
// expect: runtime_error
// id: D1
// with: raw_syscall
// what: writes through the 32-bit system call gate, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
#if defined(__x86_64__)
    int rc;
    __asm__ volatile("int $0x80" : "=a"(rc) : "a"(4), "b"(1), "c"(0), "d"(0) : "memory");
#else
    raw_syscall(SYS_write, 1, "x", 1);
#endif
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
