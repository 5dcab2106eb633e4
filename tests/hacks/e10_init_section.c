// task: relu
// expect: correct_slow|correct_fast
// id: C8
// what: defines _init, which nothing calls
void _init(void)
{
    __asm__ volatile("nop");
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
