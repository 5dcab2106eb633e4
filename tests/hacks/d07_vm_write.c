// task: relu
// expect: runtime_error
// id: D7
// with: raw_syscall
// what: writes into its parent's memory, then honest work
#include <unistd.h>
#include <sys/uio.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    long v = 1;
    struct iovec l = {&v, 8}, r = {(void *)0x400000, 8};
    raw_syscall(311, 1, &l, 1, &r, 1, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
