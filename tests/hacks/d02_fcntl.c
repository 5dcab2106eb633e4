// task: relu
// expect: runtime_error
// id: D2
// with: raw_syscall
// what: looks for open descriptors, then honest work
#include <sys/syscall.h>
#include <fcntl.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int fd = 0; fd < 1024; fd++)
        raw_syscall(SYS_fcntl, fd, F_GETFD);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
