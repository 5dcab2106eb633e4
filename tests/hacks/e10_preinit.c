// task: relu
// expect: load_error|compile_error
// id: C8
// what: places a pointer in .preinit_array
static void before(void)
{
    __asm__ volatile("nop");
}
__attribute__((section(".preinit_array"), used)) static void (*hook)(void) = before;
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
