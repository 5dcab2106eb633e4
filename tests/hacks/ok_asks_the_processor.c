// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: one version with vectors, one without, by what the processor says
#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("avx2"))) static int wide(const float *x, float *y, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_max_ps(_mm256_loadu_ps(x + i), _mm256_setzero_ps()));
    return i;
}
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    int i = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && !__builtin_cpu_is("btver1"))
        i = wide(x, y, n);
#endif
    for (; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
