// task: relu
// expect: load_error|compile_error
// id: C10
// what: a symbol at an address of its choice
__asm__(".globl spot\n.set spot, 0x5555555592a0");
extern char spot[];
void relu(const float *restrict x, float *restrict y, int n)
{
    __asm__ volatile("" : : "r"(spot));
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
