// task: relu
// expect: runtime_error
// id: H6
// what: uses MMX and no emms
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    __asm__ volatile("movd %0, %%mm3" : : "r"(n));
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
#endif
}
