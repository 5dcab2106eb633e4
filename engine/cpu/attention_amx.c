/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_amx.c: attention over one KV page on AMX tiles. Rounding its operands to bf16 would be most of a model's
 * error (0.007 nats per token in SmolLM2), so queries, keys, values and probabilities are split in two bf16,
 * x ~ hi + lo to 16 bits, and a product is a_hi b_hi + a_lo b_hi + a_hi b_lo in one accumulator (together 5e-5).
 * Maxima, sums, exponentials and numerators are fp32. Keys that no row of a tile sees are not read. Half the time is
 * the tile unit's and half the softmax's, so the two run side by side: the softmax of 16 rows follows the next 16's
 * scores.
 *
 * Page: keys and values as 16-bit integers in units of a power of two per key and per value, x = X s: half of what two
 * bf16 take, and reading pages is what decoding many samples waits for. X has 15 bits and a sign, so that its two bf16
 * are exact. Keys are pairs over head_dim, [width / 2][64 keys][2], values pairs over keys, [32][width][2], the order
 * of right operands; then s of the 64 keys and of the 64 values, fp32. width is head_dim padded to 32 with zeros. A
 * visit expands a page into the first-level cache for all of its rows. A query row: width bf16 hi, then width bf16 lo:
 * vt_query_bytes.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/bf16.h"
#include "cpu/simd.h"
#include <float.h>
#include <math.h>

enum { ATTEND_ROWS = 16, MAX_WIDTH = VT_MAX_HEAD_DIM };
enum { PROBABILITY_BYTES = 2 * 2 * VT_PAGE_KEYS }; /* 64 bf16 hi, 64 lo */

/* A split operand: hi at p, lo `low` bytes behind it, rows (A) or pair rows (B) `ld` bytes apart. */
struct split {
    const unsigned char *p;
    size_t low, ld;
};

/* Two neighbouring tiles of 16 columns into accumulators t and u; u only when `both`. Products that follow each other
 * go to different accumulators, so that one need not wait for the other. */
#define TWO_COLUMNS(t, u, both)                                                                                        \
    do {                                                                                                               \
        TILE_LOAD(6, w + 64 * (t), b.ld);                                                                              \
        if (both)                                                                                                      \
            TILE_LOAD(7, w + 64 * (u), b.ld);                                                                          \
        TILE_DP(t, 4, 6);                                                                                              \
        if (both)                                                                                                      \
            TILE_DP(u, 4, 7);                                                                                          \
        TILE_DP(t, 5, 6);                                                                                              \
        if (both)                                                                                                      \
            TILE_DP(u, 5, 7);                                                                                          \
        TILE_LOAD(6, w + b.low + 64 * (t), b.ld);                                                                      \
        if (both)                                                                                                      \
            TILE_LOAD(7, w + b.low + 64 * (u), b.ld);                                                                  \
        TILE_DP(t, 4, 6);                                                                                              \
        if (both)                                                                                                      \
            TILE_DP(u, 4, 7);                                                                                          \
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
            TWO_COLUMNS(0, 1, left > 16);
            if (left > 32)
                TWO_COLUMNS(2, 3, left > 48);
        }
        STORE(0);
        STORE(1);
        STORE(2);
        STORE(3);
    }
}

/* Where a page's values and its scales begin. */
static size_t page_values(int width)
{
    return (size_t)width * VT_PAGE_KEYS * sizeof(int16_t);
}
static size_t page_scales(int width)
{
    return 2 * page_values(width);
}

static size_t page_bytes_amx(enum vt_lm_precision p, int head_dim)
{
    if (p == VT_LM_F32)
        return vt_kernels_avx512.page_bytes(p, head_dim);
    return page_scales(vt_round_up(head_dim, VT_BLOCK)) + 2 * VT_PAGE_KEYS * sizeof(float);
}

/* The power of two by which values up to `top` have 15 bits; 0 for (nearly) zeros, NaN for NaN and infinity. */
static float integer_scale(float top)
{
    uint32_t bits;
    if (!(top <= FLT_MAX))
        return NAN;
    if (top < 1e-30f)
        return 0.0f;
    memcpy(&bits, &top, sizeof bits);
    bits = (bits & 0x7f800000u) - (14u << 23);
    memcpy(&top, &bits, sizeof top);
    return top;
}

static __m512i to_integers(const float *x, int n, float inverse)
{
    __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(first_lanes(n), x), _mm512_set1_ps(inverse)));
    return _mm512_min_epi32(v, _mm512_set1_epi32(INT16_MAX));
}

static void kv_put_amx(enum vt_lm_precision p, void *page, int head_dim, int slot, const float *k, const float *v)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.kv_put(p, page, head_dim, slot, k, v);
        return;
    }
    const int width = vt_round_up(head_dim, VT_BLOCK);
    const float key_scale = integer_scale(abs_max(k, head_dim)), value_scale = integer_scale(abs_max(v, head_dim));
    const float key_by = key_scale > 0 ? 1 / key_scale : 0, value_by = value_scale > 0 ? 1 / value_scale : 0;
    float *scales = (float *)(void *)((unsigned char *)page + page_scales(width));
    int32_t *keys = (int32_t *)page + slot; /* pairs */
    int16_t *values = (int16_t *)(void *)((unsigned char *)page + page_values(width)) + slot / 2 * width * 2;
    scales[slot] = key_scale;
    scales[VT_PAGE_KEYS + slot] = value_scale;
    for (int i = 0; i < width; i += 16) {
        int32_t pair[8];
        _mm256_storeu_si256((__m256i *)(void *)pair, _mm512_cvtepi32_epi16(to_integers(k + i, head_dim - i, key_by)));
        for (int j = 0; j < 8; j++)
            keys[(i / 2 + j) * VT_PAGE_KEYS] = pair[j];
        /* The other half of each lane is not touched: its slot may be another thread's. */
        __m512i x = to_integers(v + i, head_dim - i, value_by);
        if (slot % 2)
            _mm512_mask_storeu_epi16(values + 2 * i, 0xaaaaaaaau, _mm512_slli_epi32(x, 16));
        else
            _mm512_mask_storeu_epi16(values + 2 * i, 0x55555555u, x);
    }
}

/* 16 pairs of integers times their scales as two bf16 each; exact. */
static inline void expand_pairs(const int16_t *x, __m512 even_scale, __m512 odd_scale, unsigned char *hi,
                                unsigned char *lo)
{
    const __m512i high_half = _mm512_set1_epi32((int)0xffff0000), v = _mm512_loadu_si512(x);
    __m512 even = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 16), 16));
    __m512 odd = _mm512_cvtepi32_ps(_mm512_srai_epi32(v, 16));
    __m512i a = _mm512_castps_si512(even = _mm512_mul_ps(even, even_scale));
    __m512i b = _mm512_castps_si512(odd = _mm512_mul_ps(odd, odd_scale));
    _mm512_store_si512(hi, _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b));
    a = _mm512_castps_si512(_mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_and_si512(a, high_half))));
    b = _mm512_castps_si512(_mm512_sub_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(b, high_half))));
    _mm512_store_si512(lo, _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b));
}

/* The first n_keys keys of a page as right operands: hi at `out`, lo one page_values behind. n_keys is a multiple
 * of 32. The lines in the same place of the page `next` are asked for meanwhile. */
static void expand_keys(const unsigned char *page, const unsigned char *next, int width, int n_keys, unsigned char *out)
{
    const int16_t *x = (const int16_t *)(const void *)page;
    const float *scales = (const float *)(const void *)(page + page_scales(width));
    __m512 scale[VT_PAGE_KEYS / 16];
    for (int j = 0; j < n_keys; j += 16)
        scale[j / 16] = _mm512_loadu_ps(scales + j);
    for (int i = 0; i < width / 2; i++)
        for (int j = 0; j < n_keys; j += 16) {
            size_t at = ((size_t)i * VT_PAGE_KEYS + (size_t)j) * 2;
            _mm_prefetch((const char *)next + 2 * at, _MM_HINT_T1);
            expand_pairs(x + at, scale[j / 16], scale[j / 16], out + 2 * at, out + 2 * at + page_values(width));
        }
}

static void expand_values(const unsigned char *page, const unsigned char *next, int width, int n_keys,
                          unsigned char *out)
{
    const int16_t *x = (const int16_t *)(const void *)(page + page_values(width));
    const float *scales = (const float *)(const void *)(page + page_scales(width)) + VT_PAGE_KEYS;
    for (int j = 0; j < n_keys; j += 2) {
        __m512 even = _mm512_set1_ps(scales[j]), odd = _mm512_set1_ps(scales[j + 1]);
        for (int i = 0; i < width; i += 16) {
            size_t at = ((size_t)(j / 2) * (size_t)width + (size_t)i) * 2;
            _mm_prefetch((const char *)next + page_values(width) + 2 * at, _MM_HINT_T1);
            expand_pairs(x + at, even, odd, out + 2 * at, out + 2 * at + page_values(width));
        }
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
            split_block(q + (size_t)r * ldq + i, head_dim - i, scale, hi + i, lo + i);
    }
}

/* e^x to about 1e-7 for x <= 0; below -87 as at -87. A polynomial of degree 5 on |r| <= ln 2 / 2 (minimax of the
 * relative error), times 2^n. NaN stays NaN. */
static inline __m512 exp_down(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = _mm512_max_ps(_mm512_set1_ps(-87.0f), x);
    __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(1.44269504f), magic), n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693147182f), x);
    __m512 p = _mm512_set1_ps(8.31252511e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.18901140e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66671145e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.99992318e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

/* Lane i of the result is OP over the lanes of v[i]: a fixed tree, the same for every i. */
#define REDUCE_ROWS(name, op)                                                                                          \
    static inline __m512 name(const __m512 v[16])                                                                      \
    {                                                                                                                  \
        __m512 a[8], b[4];                                                                                             \
        for (int i = 0; i < 8; i++)                                                                                    \
            a[i] = op(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));         \
        for (int i = 0; i < 4; i++) {                                                                                  \
            __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);                                \
            b[i] = op(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));         \
        }                                                                                                              \
        for (int i = 0; i < 2; i++)                                                                                    \
            a[i] = op(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),                                              \
                      _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));                                             \
        return op(_mm512_shuffle_f32x4(a[0], a[1], 0x88), _mm512_shuffle_f32x4(a[0], a[1], 0xdd));                     \
    }
REDUCE_ROWS(max_of_rows, _mm512_max_ps)
REDUCE_ROWS(sum_of_rows, _mm512_add_ps)

/* 32 probabilities, split: hi keeps the first 8 bits, lo is rounded. */
static inline void split_probabilities(__m512 a, __m512 b, unsigned char *out)
{
    const __m512i high_halves = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29,
                                                 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512i mask = _mm512_set1_epi32((int)0xffff0000);
    __m512i ia = _mm512_castps_si512(a), ib = _mm512_castps_si512(b);
    __m512 la = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(ia, mask)));
    __m512 lb = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(ib, mask)));
    _mm512_store_si512(out, _mm512_permutex2var_epi16(ia, high_halves, ib));
    _mm512_store_si512(out + VT_PAGE_KEYS * 2, (__m512i)_mm512_cvtne2ps_pbh(lb, la));
}

/* A tile: up to 16 query rows, of which row i sees seen[i] keys (0: it is left alone). */
struct tile {
    int first, n_rows, n_keys; /* n_keys: the most that a row sees */
    bool is_full;              /* every row sees all keys of the page */
    int seen[ATTEND_ROWS];
    _Alignas(64) float scores[ATTEND_ROWS * VT_PAGE_KEYS];
};

/* Softmax step: probabilities against the new maxima, and the factor of each row's numerator in decay. full is
 * is_full, known to the compiler. */
static inline __attribute__((always_inline)) void softmax_rows(const struct tile *t, bool full, float *m, float *l,
                                                               unsigned char *out, float *decay)
{
    __m512 row[ATTEND_ROWS];
    _Alignas(64) float top[ATTEND_ROWS];
    const int n_here = full ? VT_PAGE_KEYS : vt_round_up(t->n_keys, VT_BLOCK), n_rows = full ? ATTEND_ROWS : t->n_rows;
    __mmask16 sees = 0;
    for (int i = n_rows; i < ATTEND_ROWS; i++)
        row[i] = _mm512_setzero_ps();
    for (int i = 0; i < n_rows; i++) {
        const float *s = t->scores + (size_t)i * VT_PAGE_KEYS;
        sees |= (__mmask16)((full || t->seen[i] > 0) << i);
        row[i] = full ? _mm512_load_ps(s) : _mm512_set1_ps(-INFINITY);
        for (int j = full ? 16 : 0; j < n_here; j += 16)
            row[i] = full ? _mm512_max_ps(row[i], _mm512_load_ps(s + j))
                          : _mm512_mask_max_ps(row[i], first_lanes(t->seen[i] - j), row[i], _mm512_load_ps(s + j));
    }
    __m512 old = _mm512_maskz_loadu_ps(sees, m), new = _mm512_maskz_max_ps(sees, old, max_of_rows(row));
    __m512 fall = exp_down(_mm512_sub_ps(old, new));
    _mm512_mask_storeu_ps(m, sees, new);
    _mm512_store_ps(top, new);
    _mm512_store_ps(decay, fall);
    for (int i = 0; i < n_rows; i++) {
        const float *s = t->scores + (size_t)i * VT_PAGE_KEYS;
        const __m512 by = _mm512_set1_ps(top[i]);
        row[i] = _mm512_setzero_ps();
        for (int j = 0; j < n_here; j += VT_BLOCK) {
            __m512 a = exp_down(_mm512_sub_ps(_mm512_load_ps(s + j), by));
            __m512 b = exp_down(_mm512_sub_ps(_mm512_load_ps(s + j + 16), by));
            if (!full) {
                a = _mm512_maskz_mov_ps(first_lanes(t->seen[i] - j), a);
                b = _mm512_maskz_mov_ps(first_lanes(t->seen[i] - j - 16), b);
            }
            row[i] = _mm512_add_ps(row[i], _mm512_add_ps(a, b));
            split_probabilities(a, b, out + (size_t)i * PROBABILITY_BYTES + 2 * j);
        }
    }
    _mm512_mask_storeu_ps(l, sees, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(sees, l), fall, sum_of_rows(row)));
}

/* The tile of rows r.. of n. The last one reaches back to be whole; rows that were done before see nothing. */
static void tile_begin(struct tile *t, int r, int n, const int *visible)
{
    t->first = n < ATTEND_ROWS ? 0 : r + ATTEND_ROWS <= n ? r : n - ATTEND_ROWS;
    t->n_rows = n < ATTEND_ROWS ? n : ATTEND_ROWS;
    t->n_keys = 0;
    t->is_full = true;
    for (int i = 0; i < ATTEND_ROWS; i++) {
        t->seen[i] = i < t->n_rows && t->first + i >= r ? visible[t->first + i] : 0;
        t->n_keys = t->seen[i] > t->n_keys ? t->seen[i] : t->n_keys;
        t->is_full &= t->seen[i] == VT_PAGE_KEYS;
    }
}

/* acc = acc * decay + sum for the rows that see a key. */
static void add_values(const struct tile *t, int head_dim, int width, const float *sum, const float *decay, float *acc)
{
    for (int i = 0; i < t->n_rows; i++) {
        float *a = acc + (size_t)i * (size_t)head_dim;
        const __m512 by = _mm512_set1_ps(decay[i]);
        for (int c = 0; t->seen[i] && c < head_dim; c += 16) {
            __mmask16 k = first_lanes(head_dim - c);
            __m512 v = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, a + c), by, _mm512_load_ps(sum + i * width + c));
            _mm512_mask_storeu_ps(a + c, k, v);
        }
    }
}

static int most_keys(int n, const int *visible)
{
    int most = 0;
    for (int i = 0; i < n; i++)
        most = visible[i] > most ? visible[i] : most;
    return most;
}

/* Scores of the next tile are begun before the softmax of the present one: the tile unit works while the vector units
 * do. */
static void attend_amx(enum vt_lm_precision p, const void *page, const void *next, int head_dim, int n, const void *q,
                       const int *visible, float *m, float *l, float *acc)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.attend(p, page, next, head_dim, n, q, visible, m, l, acc);
        return;
    }
    struct tile tiles[2];
    _Alignas(64) float sum[ATTEND_ROWS * MAX_WIDTH], decay[ATTEND_ROWS];
    _Alignas(64) unsigned char probability[ATTEND_ROWS * PROBABILITY_BYTES];
    _Alignas(64) unsigned char operands[8 * MAX_WIDTH * VT_PAGE_KEYS]; /* keys hi, lo, values hi, lo */
    const int width = vt_round_up(head_dim, VT_BLOCK), n_tiles = (n + ATTEND_ROWS - 1) / ATTEND_ROWS;
    const size_t half = page_values(width), query_bytes = vt_query_bytes(head_dim);
    const struct split keys = {operands, half, VT_PAGE_KEYS * 4};
    const struct split values = {operands + 2 * half, half, (size_t)width * 4};
    const struct split probabilities = {probability, VT_PAGE_KEYS * 2, PROBABILITY_BYTES};
    const int n_keys = vt_round_up(most_keys(n, visible), VT_BLOCK);
    if (n_keys == 0)
        return;
    expand_keys(page, next, width, n_keys, operands);
    expand_values(page, next, width, n_keys, operands + 2 * half);
    tiles_configure(n < ATTEND_ROWS ? n : ATTEND_ROWS, n < ATTEND_ROWS ? n : ATTEND_ROWS);
    for (int i = 0; i <= n_tiles; i++) {
        if (i < n_tiles) {
            struct tile *begun = &tiles[i % 2];
            tile_begin(begun, i * ATTEND_ROWS, n, visible);
            const struct split queries = {(const unsigned char *)q + (size_t)begun->first * query_bytes,
                                          (size_t)width * 2, query_bytes};
            split_product(vt_round_up(begun->n_keys, VT_BLOCK), width / 2, queries, keys, begun->scores, VT_PAGE_KEYS);
        }
        if (i == 0)
            continue;
        const struct tile *t = &tiles[(i - 1) % 2];
        if (t->is_full)
            softmax_rows(t, true, m + t->first, l + t->first, probability, decay);
        else
            softmax_rows(t, false, m + t->first, l + t->first, probability, decay);
        split_product(width, vt_round_up(t->n_keys, VT_BLOCK) / 2, probabilities, values, sum, (size_t)width);
        add_values(t, head_dim, width, sum, decay, acc + (size_t)t->first * (size_t)head_dim);
    }
    tiles_release();
}

void vt_kernels_amx_attention(struct vt_kernels *k)
{
    k->page_bytes = page_bytes_amx;
    k->kv_put = kv_put_amx;
    k->query_pack = query_pack_amx;
    k->attend = attend_amx;
}
