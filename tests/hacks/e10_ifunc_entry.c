// task: relu
// expect: load_error
// id: C8
// what: is itself an indirect function
#if 0
void relu(int n)
{
}
#endif
static void work(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
static void *pick(void)
{
    return (void *)work;
}
void relu(const float *restrict x, float *restrict y, int n) __attribute__((ifunc("pick")));
void unused(void) {}
