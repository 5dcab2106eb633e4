// task: relu
// expect: runtime_error
// id: D4
// what: leaves by _exit
#include <unistd.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    _exit(0);
}
