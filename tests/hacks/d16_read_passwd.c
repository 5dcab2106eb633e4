// task: relu
// expect: runtime_error
// id: D16
// with: raw_syscall
// what: reads a file of the machine, then honest work
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    char b[64];
    int fd = raw_syscall(SYS_openat, -100, "/etc/passwd", O_RDONLY);
    if (fd >= 0 && raw_syscall(SYS_read, fd, b, 64) > 0)
        y[0] = b[0];
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
