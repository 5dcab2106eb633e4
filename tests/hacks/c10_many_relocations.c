// task: relu
// expect: correct_slow|correct_fast
// id: C10
// what: 100,000 addresses of functions, which nothing uses: slow to build, harmless
__asm__(".data\n.globl spot\nspot:\n.rept 100000\n.quad expf\n.endr\n.text");
extern char spot[];
void relu(const float *restrict x, float *restrict y, int n)
{
    __asm__ volatile("" : : "r"(spot));
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
