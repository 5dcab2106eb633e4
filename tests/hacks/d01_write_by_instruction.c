// task: relu
// expect: runtime_error
// id: D1
// with: raw_syscall
// what: writes to descriptor 1 with the bare syscall instruction, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
#if defined(__x86_64__)
    static const char lie[] = "correct_fast\n";
    long rc;
    __asm__ volatile("syscall" : "=a"(rc) : "a"(1L), "D"(1L), "S"(lie), "d"(13L) : "rcx", "r11", "memory");
#else
    raw_syscall(SYS_write, 1, "x", 1);
#endif
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
