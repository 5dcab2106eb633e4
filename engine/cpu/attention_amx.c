/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_amx.c: the products of attention_bf16_impl.h on AMX tiles. 16 query rows by 64 columns fill the four
 * accumulators; one left tile serves all four.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/attention_bf16_impl.h"

/* 16 columns in accumulator t, when there are that many. */
#define COLUMNS(op, t, ...)                                                                                            \
    do {                                                                                                               \
        if (left > 16 * (t))                                                                                           \
            op(t, __VA_ARGS__);                                                                                        \
    } while (0)

static void pair_product(int n_rows, int n_columns, int n_pairs, int n_terms, const struct term *terms, size_t stride, size_t ldb, float *c,
                         size_t ldc)
{
    tiles_configure(n_rows, n_rows);
    for (int n = 0; n < n_columns; n += 64) {
        int left = n_columns - n;
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        for (int i = 0; i < n_terms * n_pairs; i += 16) {
            const struct term *t = terms + i / n_pairs;
            size_t k = (size_t)(i % n_pairs);
            const unsigned char *w = t->b + k * ldb + (size_t)n * 4;
            TILE_LOAD(4, t->a + k * 4, stride);
            TILE_LOAD(6, w, ldb);
            TILE_DP(0, 4, 6);
            if (left > 16) {
                TILE_LOAD(7, w + 64, ldb);
                TILE_DP(1, 4, 7);
            }
            if (left > 32) {
                TILE_LOAD(6, w + 128, ldb);
                TILE_DP(2, 4, 6);
            }
            if (left > 48) {
                TILE_LOAD(7, w + 192, ldb);
                TILE_DP(3, 4, 7);
            }
        }
        COLUMNS(TILE_STORE, 0, c + n, ldc * 4);
        COLUMNS(TILE_STORE, 1, c + n + 16, ldc * 4);
        COLUMNS(TILE_STORE, 2, c + n + 32, ldc * 4);
        COLUMNS(TILE_STORE, 3, c + n + 48, ldc * 4);
    }
}

static void attend_amx(enum vt_lm_precision p, const void *page, int head_dim, int n, const void *q, const int *visible, float *m, float *l,
                       float *acc)
{
    attend_bf16(p, page, head_dim, n, q, visible, m, l, acc);
    tiles_release();
}

void vt_kernels_amx_attention(struct vt_kernels *k)
{
    k->kv_put = kv_put_bf16;
    k->query_pack = query_pack_bf16;
    k->attend = attend_amx;
}
