/* SPDX-License-Identifier: Apache-2.0
 *
 * backward_amx.c: the products of the backward pass on AMX tiles: attention's gradients over one tile of keys, and
 * A^T B over tokens for LoRA's gradients. Operands are rounded to bf16, sums are fp32 (gradients need a cosine of
 * 0.999; scores are split as in the forward pass because they enter an exponential, and so is dP = dO V^T, of which
 * little is left when delta is taken off).
 *
 * A right operand is "pairs": two consecutive rows of a matrix interleaved as 32-bit lanes, 16 lanes to a tile row.
 * Transposing pairs as a matrix of 32-bit elements gives the left operand of the transposed matrix, so both come from
 * pair_rows and transpose16.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/bf16.h"
#include "cpu/simd.h"
#include <math.h>

enum { STEP = 32, KEYS = VT_PAGE_KEYS, MAX_WIDTH = VT_MAX_HEAD_DIM };

/* Lanes (bf16 of a, bf16 of b) of two rows of n floats into width lanes, zeros behind n. b NULL: zeros. */
static inline void pair_rows(const float *a, const float *b, int n, int width, uint32_t *out)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int i = 0; i < width; i += 16) {
        __mmask16 k = first_lanes(n - i);
        __m512 lo = a ? _mm512_maskz_loadu_ps(k, a + i) : _mm512_setzero_ps();
        __m512 hi = b ? _mm512_maskz_loadu_ps(k, b + i) : _mm512_setzero_ps();
        _mm512_storeu_si512(out + i, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(hi, lo)));
    }
}

/* Transposes 16 x 16 elements of 32 bits. */
static void transpose16(const uint32_t *src, size_t lds, uint32_t *dst, size_t ldd)
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        __m512i x = _mm512_loadu_si512(src + (size_t)i * lds), y = _mm512_loadu_si512(src + (size_t)(i + 1) * lds);
        a[i] = _mm512_unpacklo_epi32(x, y);
        a[i + 1] = _mm512_unpackhi_epi32(x, y);
    }
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (int j = 0; j < 4; j++) {
        __m512i even = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88), odd = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
        __m512i even2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88),
                odd2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
        _mm512_storeu_si512(dst + (size_t)j * ldd, _mm512_shuffle_i32x4(even, even2, 0x88));
        _mm512_storeu_si512(dst + (size_t)(4 + j) * ldd, _mm512_shuffle_i32x4(odd, odd2, 0x88));
        _mm512_storeu_si512(dst + (size_t)(8 + j) * ldd, _mm512_shuffle_i32x4(even, even2, 0xdd));
        _mm512_storeu_si512(dst + (size_t)(12 + j) * ldd, _mm512_shuffle_i32x4(odd, odd2, 0xdd));
    }
}

static void transpose(int rows, int columns, const uint32_t *src, size_t lds, uint32_t *dst, size_t ldd)
{
    for (int r = 0; r < rows; r += 16)
        for (int c = 0; c < columns; c += 16)
            transpose16(src + (size_t)r * lds + c, lds, dst + (size_t)c * ldd + r, ldd);
}

/* C (rows, columns) (+)= A B; A has n_pairs lanes a row, B has n_pairs rows of lanes; all multiples of 16, lda, ldb,
 * ldc in elements. Tiles are configured for 16 rows. */
static void product(int rows, int columns, int n_pairs, const uint32_t *a, size_t lda, const uint32_t *b, size_t ldb,
                    float *c, size_t ldc, bool add)
{
    for (int r = 0; r < rows; r += 16)
        for (int n = 0; n < columns; n += 32) {
            bool two = n + 16 < columns;
            float *y = c + (size_t)r * ldc + n;
            TILE_ZERO(0);
            TILE_ZERO(1);
            if (add) {
                TILE_LOAD(0, y, ldc * 4);
                if (two)
                    TILE_LOAD(1, y + 16, ldc * 4);
            }
            for (int k = 0; k < n_pairs; k += 16) {
                TILE_LOAD(4, a + (size_t)r * lda + k, lda * 4);
                TILE_LOAD(6, b + (size_t)k * ldb + n, ldb * 4);
                TILE_DP(0, 4, 6);
                if (two) {
                    TILE_LOAD(7, b + (size_t)k * ldb + n + 16, ldb * 4);
                    TILE_DP(1, 4, 7);
                }
            }
            TILE_STORE(0, y, ldc * 4);
            if (two)
                TILE_STORE(1, y + 16, ldc * 4);
        }
}

/* bf16 rows of n floats as width / 2 lanes a row: hi, and what rounding left in lo (NULL: not wanted). */
static void row_lanes(const float *x, int n, int width, uint32_t *hi, uint32_t *lo)
{
    uint32_t unused[STEP / 2];
    for (int i = 0; i < width; i += STEP)
        split_block(x + i, n > i ? n - i : 0, 1.0f, hi + i / 2, lo ? lo + i / 2 : unused);
}

/* The keys' and values' operands of one call. Lanes: of keys and values transposed (pairs over head_dim), of keys over
 * key pairs. */
struct key_side {
    _Alignas(64) uint32_t k_hi[MAX_WIDTH / 2 * KEYS], k_lo[MAX_WIDTH / 2 * KEYS], v[MAX_WIDTH / 2 * KEYS],
        v_lo[MAX_WIDTH / 2 * KEYS], k_pairs[KEYS / 2 * MAX_WIDTH];
};

static void key_side_pack(struct key_side *s, int head_dim, int width, int nk, const float *k, size_t ldk,
                          const float *v, size_t ldv)
{
    _Alignas(64) uint32_t rows[4][16 * MAX_WIDTH / 2];
    int half = width / 2;
    for (int j = 0; j < KEYS; j += 16) {
        memset(rows, 0, sizeof rows);
        for (int i = 0; i < 16 && j + i < nk; i++) {
            row_lanes(k + (size_t)(j + i) * ldk, head_dim, width, rows[0] + i * half, rows[1] + i * half);
            row_lanes(v + (size_t)(j + i) * ldv, head_dim, width, rows[2] + i * half, rows[3] + i * half);
        }
        transpose(16, half, rows[0], (size_t)half, s->k_hi + j, KEYS);
        transpose(16, half, rows[1], (size_t)half, s->k_lo + j, KEYS);
        transpose(16, half, rows[2], (size_t)half, s->v + j, KEYS);
        transpose(16, half, rows[3], (size_t)half, s->v_lo + j, KEYS);
    }
    for (int j = 0; j < KEYS; j += 2)
        pair_rows(j < nk ? k + (size_t)j * ldk : NULL, j + 1 < nk ? k + (size_t)(j + 1) * ldk : NULL, head_dim, width,
                  s->k_pairs + (size_t)(j / 2) * (size_t)width);
}

/* Scratch of STEP query rows. */
struct query_side {
    _Alignas(64) uint32_t q_hi[STEP * MAX_WIDTH / 2], q_lo[STEP * MAX_WIDTH / 2], d[STEP * MAX_WIDTH / 2],
        d_lo[STEP * MAX_WIDTH / 2];
    _Alignas(64) uint32_t q_pairs[STEP / 2 * MAX_WIDTH], d_pairs[STEP / 2 * MAX_WIDTH];
    _Alignas(64) float s[STEP * KEYS], dp[STEP * KEYS], dq[STEP * MAX_WIDTH];
    _Alignas(64) uint32_t pairs[STEP / 2 * KEYS], left[KEYS * STEP / 2], ds_rows[STEP * KEYS / 2];
    _Alignas(64) float dk[KEYS * MAX_WIDTH], dv[KEYS * MAX_WIDTH]; /* sums over all steps of a call */
};

static void query_side_pack(struct query_side *s, int head_dim, int width, int n_rows, const float *q,
                            const float *d_out)
{
    int half = width / 2;
    if (n_rows < STEP)
        memset(s, 0, offsetof(struct query_side, s));
    for (int i = 0; i < n_rows; i++) {
        row_lanes(q + (size_t)i * (size_t)head_dim, head_dim, width, s->q_hi + i * half, s->q_lo + i * half);
        row_lanes(d_out + (size_t)i * (size_t)head_dim, head_dim, width, s->d + i * half, s->d_lo + i * half);
    }
    for (int i = 0; i < n_rows; i += 2) {
        const float *a = q + (size_t)i * (size_t)head_dim, *b = d_out + (size_t)i * (size_t)head_dim;
        bool both = i + 1 < n_rows;
        pair_rows(a, both ? a + head_dim : NULL, head_dim, width, s->q_pairs + (size_t)(i / 2) * (size_t)width);
        pair_rows(b, both ? b + head_dim : NULL, head_dim, width, s->d_pairs + (size_t)(i / 2) * (size_t)width);
    }
}

/* P = exp(S - lse) into s, dS = P (dP - delta) / sqrt(head_dim) into dp; zero beyond a row's visible keys. */
static void score_gradient(struct query_side *s, int n_rows, int nk, const int *visible, const float *lse,
                           const float *delta, float scale)
{
    for (int r = 0; r < STEP; r++)
        for (int j = 0; j < KEYS; j += 16) {
            int see = r >= n_rows ? 0 : visible[r] < nk ? visible[r] - j : nk - j;
            __mmask16 seen = first_lanes(see);
            float *sr = s->s + r * KEYS + j, *dr = s->dp + r * KEYS + j;
            if (!seen) {
                _mm512_store_ps(sr, _mm512_setzero_ps());
                _mm512_store_ps(dr, _mm512_setzero_ps());
                continue;
            }
            __m512 x = _mm512_fmsub_ps(_mm512_load_ps(sr), _mm512_set1_ps(scale), _mm512_set1_ps(lse[r]));
            __m512 p = _mm512_maskz_mov_ps(seen, (__m512)v_exp((vf)x));
            __m512 d = _mm512_sub_ps(_mm512_load_ps(dr), _mm512_set1_ps(delta[r]));
            _mm512_store_ps(sr, p);
            _mm512_store_ps(dr, _mm512_maskz_mul_ps(seen, _mm512_mul_ps(p, d), _mm512_set1_ps(scale)));
        }
}

/* sum (64 keys, width) += X^T Y, X (STEP, 64 keys) in fp32, Y as pairs over the STEP rows. */
static void add_transposed(struct query_side *s, const float *x, const uint32_t *y_pairs, int width, float *sum,
                           bool add)
{
    for (int i = 0; i < STEP; i += 2)
        pair_rows(x + i * KEYS, x + (i + 1) * KEYS, KEYS, KEYS, s->pairs + i / 2 * KEYS);
    transpose(STEP / 2, KEYS, s->pairs, KEYS, s->left, STEP / 2);
    product(KEYS, width, STEP / 2, s->left, STEP / 2, y_pairs, (size_t)width, sum, (size_t)width, add);
}

static void attend_backward_amx(enum vt_lm_precision p, int head_dim, int nq, int nk, const float *q,
                                const float *d_out, const float *lse, const float *delta, const int *visible,
                                const float *k, size_t ldk, const float *v, size_t ldv, float *dq, float *dk, float *dv,
                                size_t lddk)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.attend_backward(p, head_dim, nq, nk, q, d_out, lse, delta, visible, k, ldk, v, ldv, dq, dk,
                                          dv, lddk);
        return;
    }
    struct key_side keys;
    struct query_side s;
    int width = vt_round_up(head_dim, STEP), half = width / 2;
    float scale = 1.0f / sqrtf((float)head_dim);
    key_side_pack(&keys, head_dim, width, nk, k, ldk, v, ldv);
    tiles_configure(16, 16);
    for (int r = 0; r < nq; r += STEP) {
        int n_rows = nq - r < STEP ? nq - r : STEP;
        size_t first = (size_t)r * (size_t)head_dim;
        query_side_pack(&s, head_dim, width, n_rows, q + first, d_out + first);
        product(STEP, KEYS, half, s.q_hi, (size_t)half, keys.k_hi, KEYS, s.s, KEYS, false);
        product(STEP, KEYS, half, s.q_lo, (size_t)half, keys.k_hi, KEYS, s.s, KEYS, true);
        product(STEP, KEYS, half, s.q_hi, (size_t)half, keys.k_lo, KEYS, s.s, KEYS, true);
        product(STEP, KEYS, half, s.d, (size_t)half, keys.v, KEYS, s.dp, KEYS, false);
        product(STEP, KEYS, half, s.d_lo, (size_t)half, keys.v, KEYS, s.dp, KEYS, true);
        product(STEP, KEYS, half, s.d, (size_t)half, keys.v_lo, KEYS, s.dp, KEYS, true);
        score_gradient(&s, n_rows, nk, visible + r, lse + r, delta + r, scale);
        for (int i = 0; i < STEP; i++)
            row_lanes(s.dp + i * KEYS, KEYS, KEYS, s.ds_rows + i * KEYS / 2, NULL);
        product(STEP, width, KEYS / 2, s.ds_rows, KEYS / 2, keys.k_pairs, (size_t)width, s.dq, (size_t)width, false);
        for (int i = 0; i < n_rows; i++)
            vt_kernels_avx512.add(head_dim, s.dq + (size_t)i * (size_t)width, dq + first + (size_t)(i * head_dim));
        add_transposed(&s, s.dp, s.q_pairs, width, s.dk, r > 0);
        add_transposed(&s, s.s, s.d_pairs, width, s.dv, r > 0);
    }
    for (int j = 0; j < nk; j++) {
        vt_kernels_avx512.add(head_dim, s.dk + (size_t)j * (size_t)width, dk + (size_t)j * lddk);
        vt_kernels_avx512.add(head_dim, s.dv + (size_t)j * (size_t)width, dv + (size_t)j * lddk);
    }
    tiles_release();
}

enum { TOKENS = 512, COLUMNS = 64 };

/* 16 columns of n rows of a as pairs, transposed: the left operand of a product over the rows. */
static void left_operand(int n, int n_pairs, const float *a, size_t lda, int columns, uint32_t *left)
{
    _Alignas(64) uint32_t pairs[16 * 16];
    for (int i = 0; i < n_pairs; i++) {
        const float *row = a + (size_t)(2 * i) * lda;
        pair_rows(2 * i < n ? row : NULL, 2 * i + 1 < n ? row + lda : NULL, columns, 16, pairs + i % 16 * 16);
        if (i % 16 == 15)
            transpose16(pairs, 16, left + i - 15, TOKENS / 2);
    }
}

/* c (rows, columns) += scale * sum; when is_turned, c (columns, rows) += scale * its transpose. */
static void add_tile(int rows, int columns, float *sum, float scale, float *c, size_t ldc, bool is_turned)
{
    _Alignas(64) float turned[COLUMNS * 16];
    if (is_turned)
        for (int j = 0; j < columns; j += 16)
            transpose16((const uint32_t *)(const void *)(sum + j), COLUMNS, (uint32_t *)(void *)(turned + 16 * j), 16);
    for (int i = 0; i < (is_turned ? columns : rows); i++)
        vt_kernels_avx512.axpy(is_turned ? rows : columns, scale, is_turned ? turned + 16 * i : sum + i * COLUMNS,
                               c + (size_t)i * ldc);
}

/* C (p, q) += scale * A^T B. The narrower of A and B (LoRA's rank) is transposed, once for all columns of the other,
 * which is read as it lies: with A the wide one the product is C^T, and its tiles are turned when they are added. */
static void gemm_tn_amx(enum vt_lm_precision prec, int n, int p0, int p1, int q, const float *a, size_t lda,
                        const float *b, size_t ldb, float scale, float *c, size_t ldc)
{
    if (prec == VT_LM_F32) {
        vt_kernels_avx512.gemm_tn(prec, n, p0, p1, q, a, lda, b, ldb, scale, c, ldc);
        return;
    }
    _Alignas(64) uint32_t right[TOKENS / 2 * COLUMNS], left[16 * TOKENS / 2];
    _Alignas(64) float sum[16 * COLUMNS];
    const bool is_turned = p1 - p0 > q;
    const int n_left = is_turned ? q : p1 - p0, n_right = is_turned ? p1 - p0 : q;
    const float *l = is_turned ? b : a + p0, *r = is_turned ? a + p0 : b;
    const size_t ldl = is_turned ? ldb : lda, ldr = is_turned ? lda : ldb;
    tiles_configure(16, 16);
    for (int t = 0; t < n; t += TOKENS, l += TOKENS * ldl, r += TOKENS * ldr) {
        const int here = n - t < TOKENS ? n - t : TOKENS, n_pairs = vt_round_up(here, STEP) / 2;
        for (int i = 0; i < n_left; i += 16) {
            const int rows = n_left - i < 16 ? n_left - i : 16;
            left_operand(here, n_pairs, l + i, ldl, rows, left);
            for (int j = 0; j < n_right; j += COLUMNS) {
                const int columns = n_right - j < COLUMNS ? n_right - j : COLUMNS, width = vt_round_up(columns, 16);
                for (int k = 0; k < n_pairs; k++) {
                    const float *row = r + (size_t)(2 * k) * ldr + j;
                    pair_rows(2 * k < here ? row : NULL, 2 * k + 1 < here ? row + ldr : NULL, columns, width,
                              right + k * width);
                }
                product(16, width, n_pairs, left, TOKENS / 2, right, (size_t)width, sum, COLUMNS, false);
                const size_t at = is_turned ? (size_t)(p0 + j) * ldc + (size_t)i : (size_t)(p0 + i) * ldc + (size_t)j;
                add_tile(rows, columns, sum, scale, c + at, ldc, is_turned);
            }
        }
    }
    tiles_release();
}

void vt_kernels_amx_backward(struct vt_kernels *k)
{
    k->attend_backward = attend_backward_amx;
    k->gemm_tn = gemm_tn_amx;
}
