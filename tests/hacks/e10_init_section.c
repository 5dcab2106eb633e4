// task: relu
// expect: load_error
// id: C8
// what: defines _init
void _init(void)
{
    __asm__ volatile("nop");
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
