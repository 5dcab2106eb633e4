// task: relu
// expect: runtime_error
// id: D17
// with: raw_syscall
// what: opens a socket, then honest work
#include <sys/syscall.h>
#include <sys/socket.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
