// task: relu
// expect: runtime_error
// id: D15
// with: raw_syscall
// what: makes shared memory, then honest work
#include <sys/syscall.h>
#include <sys/shm.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    raw_syscall(SYS_shmget, IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
