// task: relu
// expect: load_error
// id: C8
// what: runs code at exit
static int late;
__attribute__((destructor)) static void after(void)
{
    late = 1;
    __asm__ volatile("" ::: "memory");
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
