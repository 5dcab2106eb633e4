// task: relu
// expect: runtime_error
// id: E
// what: rewrites its own machine code
void relu(const float *restrict x, float *restrict y, int n)
{
    volatile unsigned char *p = (volatile unsigned char *)(uintptr_t)relu;
    p[0] = 0xc3;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
