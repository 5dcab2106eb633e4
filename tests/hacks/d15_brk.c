// task: relu
// expect: runtime_error
// id: D15
// with: raw_syscall
// what: moves the program break, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_brk, (char *)0x7fffffff0000);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
