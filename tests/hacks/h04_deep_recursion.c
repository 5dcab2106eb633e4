// task: relu
// expect: runtime_error
// id: D15
// what: recurses for ever
static int down(volatile int *p)
{
    volatile int q[256];
    q[0] = *p + 1;
    return down(q) + q[0];
}
void relu(const float *restrict x, float *restrict y, int n)
{
    volatile int z = 0;
    y[0] = (float)down(&z);
}
