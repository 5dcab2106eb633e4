// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: stores past the cache
#if defined(__AVX2__)
#include <immintrin.h>
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    int i = 0;
#if defined(__AVX2__)
    for (; i < n && (uintptr_t)(y + i) % 32; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    for (; i + 8 <= n; i += 8)
        _mm256_stream_ps(y + i, _mm256_max_ps(_mm256_loadu_ps(x + i), _mm256_setzero_ps()));
    _mm_sfence();
#endif
    for (; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
