// task: relu
// expect: runtime_error
// id: D8
// with: raw_syscall
// what: opens its own memory as a file, then honest work
#include <sys/syscall.h>
#include <fcntl.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_openat, -100, "/proc/self/mem", O_RDWR);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
