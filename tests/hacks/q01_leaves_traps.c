// task: relu
// expect: runtime_error
// id: H6
// what: leaves overflow trapping
#if defined(__x86_64__)
#include <immintrin.h>
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() & ~0x400u);
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
#endif
}
