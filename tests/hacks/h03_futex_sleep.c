// task: relu
// expect: runtime_error
// id: D15
// with: raw_syscall
// what: sleeps on a word that never changes
#include <sys/syscall.h>
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    static int word;
    for (;;)
        raw_syscall(SYS_futex, &word, 0, 0, 0, 0, 0);
}
