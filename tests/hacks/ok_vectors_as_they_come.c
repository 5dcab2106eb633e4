// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: intrinsics, with the clearing left to the compiler
#if defined(__AVX2__)
#include <immintrin.h>
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    int i = 0;
#if defined(__AVX2__)
    const __m256 floor = _mm256_setzero_ps();
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_max_ps(_mm256_loadu_ps(x + i), floor));
#endif
    for (; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
