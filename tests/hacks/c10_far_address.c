// task: relu
// expect: load_error|compile_error
// id: C10
// what: asks for the address of something 1 GiB behind itself
__asm__(".data\n.globl spot\nspot:\n.quad relu + 0x40000000\n.text");
extern char spot[];
void relu(const float *restrict x, float *restrict y, int n)
{
    __asm__ volatile("" : : "r"(spot));
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
