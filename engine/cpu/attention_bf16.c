/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_bf16.c: the products of attention_bf16_impl.h with vdpbf16ps: 4 rows by 64 columns in registers.
 */
#include "cpu/kernels_isa.h"

#include "cpu/attention_bf16_impl.h"

enum { PRODUCT_ROWS = 4 };

/* The terms' rows begin at a + a_offset, their columns at b + b_offset. */
static inline __attribute__((always_inline)) void product_fixed(int n_rows, int n_vectors, int n_pairs, int n_terms, const struct term *terms,
                                                                size_t a_offset, size_t b_offset, size_t stride, size_t ldb, float *c,
                                                                size_t ldc)
{
    __m512 sum[PRODUCT_ROWS][4];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            sum[r][v] = _mm512_setzero_ps();
    for (int i = 0; i < n_terms; i++) {
        const unsigned char *a = terms[i].a + a_offset, *b = terms[i].b + b_offset;
        for (int k = 0; k < n_pairs; k++, a += 4, b += ldb) {
            __m512bh w[4];
            for (int v = 0; v < n_vectors; v++)
                w[v] = (__m512bh)_mm512_loadu_si512(b + 64 * v);
            for (int r = 0; r < n_rows; r++) {
                int pair;
                memcpy(&pair, a + (size_t)r * stride, sizeof pair);
                for (int v = 0; v < n_vectors; v++)
                    sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)_mm512_set1_epi32(pair), w[v]);
            }
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_ps(c + (size_t)r * ldc + 16 * v, sum[r][v]);
}

static void pair_product(int n_rows, int n_columns, int n_pairs, int n_terms, const struct term *terms, size_t stride, size_t ldb, float *c,
                         size_t ldc)
{
    for (int r = 0; r < n_rows;) {
        int step = n_rows - r >= PRODUCT_ROWS ? PRODUCT_ROWS : 1;
        size_t a = (size_t)r * stride;
        for (int n = 0; n < n_columns;) {
            int vectors = n_columns - n >= 64 ? 4 : 1;
            size_t b = (size_t)n * 4;
            float *to = c + (size_t)r * ldc + n;
            if (step == 1 && vectors == 1)
                product_fixed(1, 1, n_pairs, n_terms, terms, a, b, stride, ldb, to, ldc);
            else if (step == 1)
                product_fixed(1, 4, n_pairs, n_terms, terms, a, b, stride, ldb, to, ldc);
            else if (vectors == 1)
                product_fixed(PRODUCT_ROWS, 1, n_pairs, n_terms, terms, a, b, stride, ldb, to, ldc);
            else
                product_fixed(PRODUCT_ROWS, 4, n_pairs, n_terms, terms, a, b, stride, ldb, to, ldc);
            n += 16 * vectors;
        }
        r += step;
    }
}

void vt_kernels_bf16_attention(struct vt_kernels *k)
{
    k->kv_put = kv_put_bf16;
    k->query_pack = query_pack_bf16;
    k->attend = attend_bf16;
}
