// task: relu
// expect: runtime_error
// id: D1
// with: raw_syscall
// what: writes a fake verdict to every descriptor, then honest work
#include <unistd.h>
#include <sys/syscall.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    static const char lie[] = "{\"status\":\"correct_fast\",\"speedup\":99}\n";
    for (int fd = 0; fd < 64; fd++)
        if (raw_syscall(SYS_write, fd, lie, sizeof lie - 1) < 0)
            continue;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
