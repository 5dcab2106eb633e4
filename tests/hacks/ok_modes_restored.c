// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: flushes denormals to zero for itself
#if defined(__x86_64__)
#include <immintrin.h>
#endif
void softmax(const float *restrict x, float *restrict y, float scale, int m, int n)
{
#if defined(__x86_64__)
    unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040);
#endif
    for (int i = 0; i < m; i++) {
        float top = x[i * n], s = 0.0f;
        for (int j = 1; j < n; j++)
            top = fmaxf(top, x[i * n + j]);
        for (int j = 0; j < n; j++)
            s += y[i * n + j] = expf(scale * (x[i * n + j] - top));
        for (int j = 0; j < n; j++)
            y[i * n + j] /= s;
    }
#if defined(__x86_64__)
    _mm_setcsr(modes);
#endif
}
