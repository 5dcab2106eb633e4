// task: relu
// expect: runtime_error
// id: D2
// what: looks for open descriptors, then honest work
#include <fcntl.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int fd = 0; fd < 1024; fd++)
        fcntl(fd, F_GETFD);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
