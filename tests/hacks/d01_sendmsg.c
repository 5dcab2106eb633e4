// task: relu
// expect: runtime_error
// id: D1
// with: raw_syscall
// what: passes a message over an inherited socket, then honest work
#include <sys/syscall.h>
#include <sys/socket.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    struct msghdr m = {0};
    raw_syscall(SYS_sendmsg, 3, &m, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
