// task: relu
// expect: load_error
// id: C8
// what: chooses its helper by an indirect function
static float f(float v)
{
    return v;
}
static void *pick(void)
{
    return (void *)f;
}
float helper(float) __attribute__((ifunc("pick")));
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
