// task: relu
// expect: runtime_error
// id: D4
// what: jumps through a made-up frame
#include <setjmp.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    static jmp_buf nowhere;
    longjmp(nowhere, 1);
}
