// task: relu
// expect: load_error
// id: C8
// what: places a pointer in .fini_array
static void after(void)
{
    __asm__ volatile("nop");
}
__attribute__((section(".fini_array"), used)) static void (*hook)(void) = after;
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
