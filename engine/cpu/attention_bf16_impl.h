/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_bf16_impl.h: attention over one KV page with bf16 operands and fp32 sums, shared by attention_bf16.c
 * (vdpbf16ps) and attention_amx.c (tiles), which supply the product. Values and the probabilities of a page are rounded
 * to bf16 once. Rounding queries and keys so would double the model's error (scores enter an exponential), so each is
 * split in two bf16, x ~ hi + lo to 16 bits, and a score is q_hi k_hi + q_lo k_hi + q_hi k_lo. Scores, maxima, sums,
 * exponentials and numerators are fp32.
 *
 * Page: keys hi as pairs over head_dim, [width / 2][64 keys][2]; keys lo alike; values as pairs over keys,
 * [32][width][2]; width is head_dim padded to 32 with zeros. All are right operands as they lie. A query row: width bf16
 * hi, then width bf16 lo: vt_query_bytes.
 */
#ifndef VT_CPU_ATTENTION_BF16_IMPL_H
#define VT_CPU_ATTENTION_BF16_IMPL_H

#include "cpu/bf16.h"
#include "cpu/simd.h"
#include <math.h>

enum { ATTEND_ROWS = 16, MAX_WIDTH = VT_MAX_HEAD_DIM };

/* One product of a sum of products: A rows of bf16, `stride` bytes apart; B pair rows, `ldb` bytes apart. */
struct term {
    const unsigned char *a, *b;
};
/* C (n_rows, n_columns) = sum over terms of A B, n_pairs pairs each; C rows ldc floats apart. n_pairs and n_columns are
 * multiples of 16. */
static void pair_product(int n_rows, int n_columns, int n_pairs, int n_terms, const struct term *terms, size_t stride, size_t ldb, float *c,
                         size_t ldc);

static void kv_put_bf16(enum vt_lm_precision p, void *page, int head_dim, int slot, const float *k, const float *v)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.kv_put(p, page, head_dim, slot, k, v);
        return;
    }
    size_t width = (size_t)vt_round_up(head_dim, VT_BLOCK);
    uint16_t *hi = page, *lo = hi + width * VT_PAGE_KEYS, *values = lo + width * VT_PAGE_KEYS;
    uint16_t row[3][MAX_WIDTH];
    for (int i = 0; i < head_dim; i += VT_BLOCK) {
        (void)split_block(k + i, head_dim - i, 1.0f, row[0] + i, row[1] + i);
        _mm512_storeu_si512(row[2] + i, round_block(v + i, head_dim - i, 1.0f));
    }
    for (size_t i = 0; i < width; i += 2) {
        memcpy(hi + i * VT_PAGE_KEYS + 2 * (size_t)slot, row[0] + i, 2 * sizeof(uint16_t));
        memcpy(lo + i * VT_PAGE_KEYS + 2 * (size_t)slot, row[1] + i, 2 * sizeof(uint16_t));
    }
    uint16_t *to = values + (size_t)(slot / 2) * width * 2 + (size_t)(slot % 2);
    for (size_t i = 0; i < width; i++)
        to[2 * i] = row[2][i];
}

static void query_pack_bf16(enum vt_lm_precision p, int head_dim, int n, const float *q, size_t ldq, void *q_out)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.query_pack(p, head_dim, n, q, ldq, q_out);
        return;
    }
    float scale = 1.0f / sqrtf((float)head_dim);
    for (int r = 0; r < n; r++) {
        uint16_t *hi = (uint16_t *)q_out + (size_t)r * (vt_query_bytes(head_dim) / sizeof(uint16_t));
        uint16_t *lo = hi + vt_round_up(head_dim, VT_BLOCK);
        for (int i = 0; i < head_dim; i += VT_BLOCK)
            (void)split_block(q + (size_t)r * ldq + i, head_dim - i, scale, hi + i, lo + i);
    }
}

/* Softmax step of one row of 64 scores: bf16 probabilities against the new maximum into out. Returns the factor for the
 * row's numerator. The sum adds the rounded probabilities, so that they and it agree. */
static float softmax_row(const float *s, int visible, float *m, float *l, unsigned char *out)
{
    __m512 x[4], top = _mm512_set1_ps(-INFINITY);
    for (int j = 0; j < 4; j++) {
        int n = visible - 16 * j;
        __mmask16 seen = n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1u);
        x[j] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), seen, s + 16 * j);
        top = _mm512_max_ps(top, x[j]);
    }
    float page_top = _mm512_reduce_max_ps(top), m_new = page_top > *m ? page_top : *m;
    float decay[LANES];
    v_store(decay, v_exp(v_set(*m - m_new)));
    __m512 sum = _mm512_setzero_ps();
    for (int j = 0; j < 4; j += 2) {
        __m512 a = (__m512)v_exp((vf)_mm512_sub_ps(x[j], _mm512_set1_ps(m_new)));
        __m512 b = (__m512)v_exp((vf)_mm512_sub_ps(x[j + 1], _mm512_set1_ps(m_new)));
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a);
        __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
        __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
        _mm512_storeu_si512(out + 32 * j, both);
        sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
    }
    *l = s_fma(*l, decay[0], _mm512_reduce_add_ps(sum));
    *m = m_new;
    return decay[0];
}

static void attend_bf16(enum vt_lm_precision p, const void *page, int head_dim, int n, const void *q, const int *visible, float *m, float *l,
                        float *acc)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.attend(p, page, head_dim, n, q, visible, m, l, acc);
        return;
    }
    _Alignas(64) float scores[ATTEND_ROWS * VT_PAGE_KEYS], sum[ATTEND_ROWS * MAX_WIDTH];
    _Alignas(64) unsigned char probability[ATTEND_ROWS * VT_PAGE_KEYS * 2] = {0};
    int width = vt_round_up(head_dim, VT_BLOCK);
    size_t key_bytes = (size_t)width * VT_PAGE_KEYS * 2, query_bytes = vt_query_bytes(head_dim);
    const unsigned char *keys = page;
    const struct term value_term = {probability, keys + 2 * key_bytes};
    for (int r = 0; r < n; r += ATTEND_ROWS) {
        int n_rows = n - r < ATTEND_ROWS ? n - r : ATTEND_ROWS;
        float decay[ATTEND_ROWS];
        const unsigned char *hi = (const unsigned char *)q + (size_t)r * query_bytes, *lo = hi + (size_t)width * 2;
        const struct term score_terms[] = {{hi, keys}, {lo, keys}, {hi, keys + key_bytes}};
        pair_product(n_rows, VT_PAGE_KEYS, width / 2, 3, score_terms, query_bytes, VT_PAGE_KEYS * 4, scores, VT_PAGE_KEYS);
        for (int i = 0; i < n_rows; i++) {
            unsigned char *out = probability + (size_t)i * VT_PAGE_KEYS * 2;
            decay[i] = visible[r + i] ? softmax_row(scores + (size_t)i * VT_PAGE_KEYS, visible[r + i], m + r + i, l + r + i, out) : 1.0f;
        }
        pair_product(n_rows, width, VT_PAGE_KEYS / 2, 1, &value_term, VT_PAGE_KEYS * 2, (size_t)width * 4, sum, (size_t)width);
        for (int i = 0; i < n_rows; i++) {
            float *a = acc + (size_t)(r + i) * (size_t)head_dim;
            for (int c = 0; visible[r + i] && c < head_dim; c += 16) {
                __mmask16 k = head_dim - c >= 16 ? 0xffff : (__mmask16)((1u << (head_dim - c)) - 1u);
                __m512 t = _mm512_load_ps(sum + i * width + c);
                _mm512_mask_storeu_ps(a + c, k, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, a + c), _mm512_set1_ps(decay[i]), t));
            }
        }
    }
}

#endif
