/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_amx.c: attention over one KV page on AMX tiles. Rounding its operands to bf16 would be most of a model's
 * error (0.007 nats per token in SmolLM2), so queries, keys, values and probabilities are split in two bf16,
 * x ~ hi + lo to 16 bits, and a product is a_hi b_hi + a_lo b_hi + a_hi b_lo in one accumulator (together 5e-5).
 * Maxima, sums, exponentials and numerators are fp32. Keys that no row of a tile sees are not read.
 *
 * Page: keys as pairs over head_dim, [width / 2][64 keys][2], hi then lo; values as pairs over keys, [32][width][2], hi
 * then lo; width is head_dim padded to 32 with zeros. All are right operands as they lie. A query row: width bf16 hi,
 * then width bf16 lo: vt_query_bytes.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/bf16.h"
#include "cpu/simd.h"
#include <math.h>

enum {
    ATTEND_ROWS = 16,
    MAX_WIDTH = VT_MAX_HEAD_DIM,
    PROBABILITY_BYTES = 2 * 2 * VT_PAGE_KEYS
}; /* 64 bf16 hi, 64 lo */

/* A split operand: hi at p, lo `low` bytes behind it, rows (A) or pair rows (B) `ld` bytes apart. */
struct split {
    const unsigned char *p;
    size_t low, ld;
};

/* 16 columns into accumulator t, when there are that many: a right tile of hi serves both halves of A. */
#define COLUMNS(t)                                                                                                     \
    do {                                                                                                               \
        if (left > 16 * (t)) {                                                                                         \
            TILE_LOAD(6, w + 64 * (t), b.ld);                                                                          \
            TILE_LOAD(7, w + b.low + 64 * (t), b.ld);                                                                  \
            TILE_DP(t, 4, 6);                                                                                          \
            TILE_DP(t, 5, 6);                                                                                          \
            TILE_DP(t, 4, 7);                                                                                          \
        }                                                                                                              \
    } while (0)
#define STORE(t)                                                                                                       \
    do {                                                                                                               \
        if (left > 16 * (t))                                                                                           \
            TILE_STORE(t, c + n + 16 * (t), ldc * 4);                                                                  \
    } while (0)

/* C (rows as configured, n_columns) = A_hi B_hi + A_lo B_hi + A_hi B_lo over n_pairs pairs; C rows ldc floats apart.
 * n_pairs and n_columns are multiples of 16. 64 columns fill the four accumulators. */
static void split_product(int n_columns, int n_pairs, struct split a, struct split b, float *c, size_t ldc)
{
    for (int n = 0; n < n_columns; n += 64) {
        int left = n_columns - n;
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        for (size_t k = 0; k < (size_t)n_pairs; k += 16) {
            const unsigned char *w = b.p + k * b.ld + (size_t)n * 4;
            TILE_LOAD(4, a.p + k * 4, a.ld);
            TILE_LOAD(5, a.p + a.low + k * 4, a.ld);
            COLUMNS(0);
            COLUMNS(1);
            COLUMNS(2);
            COLUMNS(3);
        }
        STORE(0);
        STORE(1);
        STORE(2);
        STORE(3);
    }
}

static void kv_put_amx(enum vt_lm_precision p, void *page, int head_dim, int slot, const float *k, const float *v)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.kv_put(p, page, head_dim, slot, k, v);
        return;
    }
    size_t width = (size_t)vt_round_up(head_dim, VT_BLOCK);
    uint16_t *hi = page, *lo = hi + width * VT_PAGE_KEYS, *values = lo + width * VT_PAGE_KEYS;
    uint16_t row[4][MAX_WIDTH];
    for (int i = 0; i < head_dim; i += VT_BLOCK) {
        (void)split_block(k + i, head_dim - i, 1.0f, row[0] + i, row[1] + i);
        (void)split_block(v + i, head_dim - i, 1.0f, row[2] + i, row[3] + i);
    }
    for (size_t i = 0; i < width; i += 2) {
        memcpy(hi + i * VT_PAGE_KEYS + 2 * (size_t)slot, row[0] + i, 2 * sizeof(uint16_t));
        memcpy(lo + i * VT_PAGE_KEYS + 2 * (size_t)slot, row[1] + i, 2 * sizeof(uint16_t));
    }
    uint16_t *to = values + (size_t)(slot / 2) * width * 2 + (size_t)(slot % 2);
    for (size_t i = 0; i < width; i++) {
        to[2 * i] = row[2][i];
        to[2 * i + width * VT_PAGE_KEYS] = row[3][i];
    }
}

static void query_pack_amx(enum vt_lm_precision p, int head_dim, int n, const float *q, size_t ldq, void *q_out)
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

static __mmask16 first_lanes(int n)
{
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1u);
}

/* Maximum of a row's first n scores; -infinity when they are all NaN (then the exponentials are NaN). */
static float row_top(const float *s, int n)
{
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (int j = 0; j < n; j += 16)
        top = _mm512_mask_max_ps(top, first_lanes(n - j), top, _mm512_load_ps(s + j));
    return _mm512_reduce_max_ps(top);
}

/* e^(s - top) of a row's first n scores, zeros behind them, split into out. Returns the sum. */
static float row_probabilities(const float *s, int n, float top, unsigned char *out)
{
    __m512 sum = _mm512_setzero_ps();
    for (int j = 0; j < VT_PAGE_KEYS; j += VT_BLOCK) {
        _Alignas(64) float p[VT_BLOCK] = {0};
        for (int i = 0; i < VT_BLOCK && j + i < n; i += 16) {
            __m512 e = (__m512)v_exp((vf)_mm512_sub_ps(_mm512_load_ps(s + j + i), _mm512_set1_ps(top)));
            e = _mm512_maskz_mov_ps(first_lanes(n - j - i), e);
            _mm512_store_ps(p + i, e);
            sum = _mm512_add_ps(sum, e);
        }
        (void)split_block(p, VT_BLOCK, 1.0f, out + 2 * j, out + VT_PAGE_KEYS * 2 + 2 * j);
    }
    return _mm512_reduce_add_ps(sum);
}

/* Softmax step of up to 16 rows of 64 scores: probabilities against the new maxima, and the factor of each row's
 * numerator in decay. Rows that see nothing keep m and l. */
static void softmax_rows(int n_rows, const float *scores, const int *visible, float *m, float *l, unsigned char *out,
                         float *decay)
{
    _Alignas(64) float fall[ATTEND_ROWS] = {0};
    for (int i = 0; i < n_rows; i++) {
        float top = row_top(scores + (size_t)i * VT_PAGE_KEYS, visible[i]);
        float m_new = top > m[i] ? top : m[i];
        fall[i] = visible[i] ? m[i] - m_new : 0.0f;
        m[i] = visible[i] ? m_new : m[i];
    }
    v_store(decay, v_exp(v_load(fall)));
    for (int i = 0; i < n_rows; i++)
        if (visible[i])
            l[i] = s_fma(l[i], decay[i],
                         row_probabilities(scores + (size_t)i * VT_PAGE_KEYS, visible[i], m[i],
                                           out + (size_t)i * PROBABILITY_BYTES));
}

static void attend_amx(enum vt_lm_precision p, const void *page, int head_dim, int n, const void *q, const int *visible,
                       float *m, float *l, float *acc)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.attend(p, page, head_dim, n, q, visible, m, l, acc);
        return;
    }
    _Alignas(64) float scores[ATTEND_ROWS * VT_PAGE_KEYS], sum[ATTEND_ROWS * MAX_WIDTH];
    _Alignas(64) unsigned char probability[ATTEND_ROWS * PROBABILITY_BYTES] = {0};
    int width = vt_round_up(head_dim, VT_BLOCK), configured = 0;
    size_t half = (size_t)width * VT_PAGE_KEYS * 2, query_bytes = vt_query_bytes(head_dim);
    const struct split keys = {page, half, VT_PAGE_KEYS * 4};
    const struct split values = {keys.p + 2 * half, half, (size_t)width * 4};
    const struct split probabilities = {probability, VT_PAGE_KEYS * 2, PROBABILITY_BYTES};
    for (int r = 0; r < n; r += ATTEND_ROWS) {
        int n_rows = n - r < ATTEND_ROWS ? n - r : ATTEND_ROWS, n_keys = 0;
        _Alignas(64) float decay[ATTEND_ROWS];
        const struct split queries = {(const unsigned char *)q + (size_t)r * query_bytes, (size_t)width * 2,
                                      query_bytes};
        for (int i = 0; i < n_rows; i++)
            n_keys = visible[r + i] > n_keys ? visible[r + i] : n_keys;
        if (n_rows != configured)
            tiles_configure(n_rows, n_rows);
        configured = n_rows;
        split_product(vt_round_up(n_keys, 16), width / 2, queries, keys, scores, VT_PAGE_KEYS);
        softmax_rows(n_rows, scores, visible + r, m + r, l + r, probability, decay);
        split_product(width, vt_round_up(n_keys, VT_BLOCK) / 2, probabilities, values, sum, (size_t)width);
        for (int i = 0; i < n_rows; i++) {
            float *a = acc + (size_t)(r + i) * (size_t)head_dim;
            for (int c = 0; visible[r + i] && c < head_dim; c += 16) {
                __mmask16 k = head_dim - c >= 16 ? 0xffff : (__mmask16)((1u << (head_dim - c)) - 1u);
                __m512 t = _mm512_load_ps(sum + i * width + c);
                _mm512_mask_storeu_ps(a + c, k,
                                      _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, a + c), _mm512_set1_ps(decay[i]), t));
            }
        }
    }
    tiles_release();
}

void vt_kernels_amx_attention(struct vt_kernels *k)
{
    k->kv_put = kv_put_amx;
    k->query_pack = query_pack_amx;
    k->attend = attend_amx;
}
