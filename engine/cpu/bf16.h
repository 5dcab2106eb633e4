/* SPDX-License-Identifier: Apache-2.0
 *
 * bf16.h: what the AVX512_BF16 and AMX kernels share: masks and maxima, rounding to bf16 and expanding a block of
 * integer codes to bf16 (exact: codes have at most 8 bits).
 *
 * A packed activation row for AVX512_BF16: the n_in values in bf16, zero-padded to a multiple of 32; at acts_sums what
 * the m of Q4_1 multiplies, the sum of each block's rounded values, fp32. AMX: digits.h.
 */
#ifndef VT_CPU_BF16_H
#define VT_CPU_BF16_H

#include "cpu/layout.h"
#include <immintrin.h>
#include <string.h>

enum { VT_GROUP = 16 }; /* blocks of K whose expanded codes stay in the first-level cache */

static inline size_t acts_sums(int n_in)
{
    return (size_t)vt_round_up(n_in, VT_BLOCK) * sizeof(uint16_t);
}

/* The first n (at most 16) of 16 lanes. */
static inline __mmask16 first_lanes(int n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
}

/* max |x| over n floats; NaN when one is NaN, whose bits are the largest of all. */
static inline float abs_max(const float *x, int n)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i m = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16) {
        m = _mm512_max_epu32(m, _mm512_and_si512(_mm512_maskz_loadu_epi32(first_lanes(n - i), x + i), magnitude));
    }
    return _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32((int)_mm512_reduce_max_epu32(m))));
}

/* 32 floats (n valid, zeros behind) times scale as bf16, nearest even, in order. */
static inline __m512i round_block(const float *x, int n, float scale)
{
    __mmask16 lo = first_lanes(n), hi = first_lanes(n - 16);
    __m512 s = _mm512_set1_ps(scale);
    __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(lo, x), s), b = _mm512_mul_ps(_mm512_maskz_loadu_ps(hi, x + 16), s);
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}

/* Sum of 32 bf16 values: a fixed tree. */
static inline float block_sum(__m512i v)
{
    __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000)));
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

/* x * scale ~ hi + lo in bf16 for 32 floats (n valid, zeros behind). */
static inline void split_block(const float *x, int n, float scale, void *hi, void *lo)
{
    __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(first_lanes(n), x), _mm512_set1_ps(scale));
    __m512 b = _mm512_mul_ps(_mm512_maskz_loadu_ps(first_lanes(n - 16), x + 16), _mm512_set1_ps(scale));
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    __m512i ha = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(h)), 16);
    __m512i hb = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h, 1)), 16);
    __m512 la = _mm512_sub_ps(a, _mm512_castsi512_ps(ha)), lb = _mm512_sub_ps(b, _mm512_castsi512_ps(hb));
    _mm512_storeu_si512(hi, h);
    _mm512_storeu_si512(lo, (__m512i)_mm512_cvtne2ps_pbh(lb, la));
}

/* bf16 of the 16 values of a 4-bit code, twice: vpermw reads 5 bits of the index, so the bit above a nibble is void. */
static inline __m512i code_table(enum vt_layout layout)
{
    uint16_t t[32];
    for (int i = 0; i < 32; i++)
        t[i] = vt_f32_to_bf16((float)(i % 16 - (layout == VT_LAYOUT_Q4_0 ? 8 : 0)));
    return _mm512_loadu_si512(t);
}

/* A half block (16 columns) of 4-bit codes to 16 pair rows of 64 bytes. */
static inline void expand_half4(const unsigned char *codes, __m512i table, unsigned char *out)
{
    for (int g = 0; g < 4; g++) {
        __m512i v = _mm512_loadu_si512(codes + 64 * g);
        unsigned char *o = out + 256 * g;
        _mm512_store_si512(o, _mm512_permutexvar_epi16(v, table));
        _mm512_store_si512(o + 64, _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 4), table));
        _mm512_store_si512(o + 128, _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 8), table));
        _mm512_store_si512(o + 192, _mm512_permutexvar_epi16(_mm512_srli_epi16(v, 12), table));
    }
}

/* 32-bit lanes with a signed byte at bit 24 (even k) of each vector to one pair row. */
static inline __m512i pair_of_bytes(__m512i even, __m512i odd)
{
    __m512i a = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_srai_epi32(even, 24)));
    __m512i b = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_srai_epi32(odd, 24)));
    return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b);
}

static inline void expand_half8(const unsigned char *codes, unsigned char *out)
{
    for (int g = 0; g < 8; g++) {
        __m512i v = _mm512_loadu_si512(codes + 64 * g);
        _mm512_store_si512(out + 128 * g, pair_of_bytes(_mm512_slli_epi32(v, 24), _mm512_slli_epi32(v, 8)));
        _mm512_store_si512(out + 128 * g + 64, pair_of_bytes(_mm512_slli_epi32(v, 16), v));
    }
}

static inline __m512 half_load16(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

#endif
