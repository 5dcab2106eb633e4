/* SPDX-License-Identifier: Apache-2.0
 *
 * digits.h: activations as 16-bit integers, for digits_amx.c.
 *
 * X = round(x / s) with s = max |x| / 32512 of the row's group, so X = 256 hi + lo with hi in [-127, 127] and lo in
 * [-128, 127]. A group is at most DIGITS_GROUP steps of 64 values, so that a large value spoils its own group only. The
 * error is at most s / 2 an element. A group of zeros has s = 0; one with a NaN or an infinity has s = NaN, which every
 * output inherits.
 *
 * A packed activation row: the n_in values in bf16 (for bf16 weights: LoRA, gradients), zero-padded to a multiple of
 * 32; at acts_digits the high digits, zero-padded to a multiple of 64, then the low ones; at acts_digits_scale s of
 * each group, fp32. Within each four k the order is 0 2 1 3, the order in which 4-bit codes come apart.
 */
#ifndef VT_CPU_DIGITS_H
#define VT_CPU_DIGITS_H

#include "cpu/bf16.h"
#include <float.h>
#include <math.h>

enum { DIGITS_STEP = 64, DIGITS_GROUP = 5 };
#define DIGITS_MAX 32512.0f

static inline size_t acts_digits(int n_in)
{
    return (size_t)vt_round_up(n_in, VT_BLOCK) * sizeof(uint16_t);
}
static inline int digits_steps(int n_in)
{
    return (n_in + DIGITS_STEP - 1) / DIGITS_STEP;
}
/* Steps per group: at most DIGITS_GROUP and as even as can be. */
static inline int digits_group(int n_steps)
{
    int n_groups = (n_steps + DIGITS_GROUP - 1) / DIGITS_GROUP;
    return (n_steps + n_groups - 1) / n_groups;
}
/* From a high digit to its low one. */
static inline size_t acts_digits_low(int n_in)
{
    return (size_t)vt_round_up(n_in, DIGITS_STEP);
}
static inline size_t acts_digits_scale(int n_in)
{
    return acts_digits(n_in) + 2 * acts_digits_low(n_in);
}

/* max |x| over n floats; NaN when one is NaN. */
static inline float abs_max(const float *x, int n)
{
    __m512 m = _mm512_setzero_ps();
    __mmask16 odd = 0;
    for (int i = 0; i < n; i += 16) {
        __mmask16 k = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1u);
        __m512 v = _mm512_abs_ps(_mm512_maskz_loadu_ps(k, x + i));
        odd |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        m = _mm512_max_ps(m, v);
    }
    return odd ? NAN : _mm512_reduce_max_ps(m);
}

/* Digits of 16 values (x * inv, within +-32512) to hi and lo. */
static inline void split_digits(__m512 x, __m512 inv, unsigned char *hi, unsigned char *lo)
{
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(x, inv));
    __m512i high = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8);
    _mm_store_si128((__m128i *)(void *)hi, _mm_shuffle_epi8(_mm512_cvtepi32_epi8(high), order));
    _mm_store_si128((__m128i *)(void *)lo, _mm_shuffle_epi8(_mm512_cvtepi32_epi8(v), order));
}

#endif
