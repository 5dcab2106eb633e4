// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: touches MMX and gives it back
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    __asm__ volatile("movd %0, %%mm0\n\temms" : : "r"(n));
#endif
}
