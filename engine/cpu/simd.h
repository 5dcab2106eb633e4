/* SPDX-License-Identifier: Apache-2.0
 *
 * simd.h: one vector of fp32 as wide as the including file's instruction set: 4 lanes in plain C (any machine), 8 with
 * AVX2, 16 with AVX-512. Built on the vector extension that gcc and clang share, so the kernel templates (rows_impl.h,
 * gemm_impl.h, attention_impl.h) are written once. Only the fused multiply-add needs an intrinsic: plain C multiplies
 * and adds, because fmaf without the instruction is a slow library call; results differ between instruction sets but
 * never within one.
 */
#ifndef VT_CPU_SIMD_H
#define VT_CPU_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16, TILE_ROWS = 12 };
#define LANE_NUMBERS                                                                                                   \
    {                                                                                                                  \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15                                                           \
    }
#elif defined(__AVX2__)
enum { LANES = 8, TILE_ROWS = 6 };
#define LANE_NUMBERS                                                                                                   \
    {                                                                                                                  \
        0, 1, 2, 3, 4, 5, 6, 7                                                                                         \
    }
#else
enum { LANES = 4, TILE_ROWS = 6 };
#define LANE_NUMBERS                                                                                                   \
    {                                                                                                                  \
        0, 1, 2, 3                                                                                                     \
    }
#endif
/* Two vectors of accumulators per row of a register tile. */
enum { TILE_COLUMNS = 2 * LANES };

#define INLINE static inline __attribute__((always_inline, unused))
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));

INLINE vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}
/* The first n < LANES elements, zeros behind them. */
INLINE vf v_load_n(const float *p, int n)
{
    float t[LANES] = {0};
    for (int i = 0; i < n; i++)
        t[i] = p[i];
    return v_load(t);
}
INLINE void v_store_n(float *p, vf v, int n)
{
    float t[LANES];
    v_store(t, v);
    for (int i = 0; i < n; i++)
        p[i] = t[i];
}
INLINE vf v_set(float x)
{
    return x - (vf){0};
}
INLINE vf v_fma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
INLINE float s_fma(float a, float b, float c)
{
#if defined(__AVX2__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
INLINE vf v_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}
/* b when either is NaN. */
INLINE vf v_max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return v_select(a > b, a, b);
#endif
}
INLINE vf v_min(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return v_select(a < b, a, b);
#endif
}
INLINE vi v_below(int n) /* all ones in lanes 0..n-1 */
{
    const vi lane = LANE_NUMBERS;
    return lane < n;
}
/* Sum and maximum over lanes as a fixed tree: lane i with lane i + half. */
INLINE float v_sum(vf v)
{
    float t[LANES];
    v_store(t, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] += t[i + half];
    return t[0];
}
INLINE float v_max_lane(vf v)
{
    float t[LANES];
    v_store(t, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
    return t[0];
}

/* e^x to about 1 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial in r (minimax, degree 6 of e^r), times 2^n. 0 below
 * -87, held at e^88 above; NaN stays NaN. */
INLINE vf v_exp(vf x)
{
    const vf magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    vf lim = v_min(v_set(88.0f), x);
    vi zero = x < -87.0f;
    vf t = v_fma(lim, v_set(1.44269504f), magic), n = t - magic;
    vf r = v_fma(n, v_set(-0.693145752f), lim);
    r = v_fma(n, v_set(-1.42860677e-6f), r);
    vf p = v_set(1.37805939e-3f);
    p = v_fma(p, r, v_set(8.37312452e-3f));
    p = v_fma(p, r, v_set(4.16695364e-2f));
    p = v_fma(p, r, v_set(1.66664720e-1f));
    p = v_fma(p, r, v_set(4.99999851e-1f));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    vf two_n = (vf)(((vu)t << 23) + 0x3f800000u);
    return (vf)(~zero & (vi)(p * two_n));
}

#endif
