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

/* Digits of DIGITS_STEP values within +-32512, 16 to a vector, to hi and lo. */
static inline void split_digits(const __m512i v[4], unsigned char *hi, unsigned char *lo)
{
    const __m512i by_vector = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                  order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15)),
                  half = _mm512_set1_epi16(128);
    __m512i a = _mm512_packs_epi32(v[0], v[1]), b = _mm512_packs_epi32(v[2], v[3]);
    __m512i high = _mm512_packs_epi16(_mm512_srai_epi16(_mm512_add_epi16(a, half), 8),
                                      _mm512_srai_epi16(_mm512_add_epi16(b, half), 8));
    __m512i low = _mm512_packs_epi16(_mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8),
                                     _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
    _mm512_storeu_si512(hi, _mm512_shuffle_epi8(_mm512_permutexvar_epi32(by_vector, high), order));
    _mm512_storeu_si512(lo, _mm512_shuffle_epi8(_mm512_permutexvar_epi32(by_vector, low), order));
}

#endif
