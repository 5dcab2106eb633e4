/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm_amx.c: matrix products on AMX tiles, bf16 operands and fp32 sums.
 *
 * Quantised weights keep their codes (integers, exact in bf16). One tile product covers 32 k: exactly one block, so its
 * 16 x 16 dot products are stored, scaled by the block's d in fp32 and added:  acc = fma(d_b, dot_b, acc),  b ascending.
 * The stores and FMAs run one block behind the tile products, which hides most of them. The m_b of Q4_1 multiplies the
 * block's sum of activations s_b: sixteen blocks make one tile whose pair rows are (m_hi, m_lo), an exact split of the
 * fp16 m, against (s_hi, s_hi) and (s_lo, s_lo), a split of s to 16 bits; the group's m term is added before its blocks.
 * bf16 weights: one chain of tile products over K.
 *
 * Per strip of 32 columns the codes of 16 blocks are expanded to 32 KiB in the first-level cache and serve up to
 * ROW_BLOCK rows. Sums rest in Y between groups; with add the chain starts from y.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/bf16.h"

enum { ROW_BLOCK = 256, TILE = 1024, HALF = 16, RING = 8 };

static void acts_pack_amx(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x, size_t ldx, float scale)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.acts_pack(a, p, first, n, x, ldx, scale);
        return;
    }
    int n_blocks = vt_round_up(a->n_in, VT_BLOCK) / VT_BLOCK, n_groups = (n_blocks + VT_GROUP - 1) / VT_GROUP;
    for (int r = 0; r < n; r++) {
        unsigned char *out = a->data + (size_t)(first + r) * a->stride, *sums = out + acts_sums(a->n_in);
        const float *xr = x + (size_t)r * ldx;
        for (int g = 0; g < n_groups; g++) {
            _Alignas(64) float sum[VT_GROUP] = {0};
            for (int b = g * VT_GROUP; b < n_blocks && b < (g + 1) * VT_GROUP; b++) {
                __m512i v = round_block(xr + b * VT_BLOCK, a->n_in - b * VT_BLOCK, scale);
                _mm512_storeu_si512(out + (size_t)b * 64, v);
                sum[b % VT_GROUP] = block_sum(v);
            }
            __m512 s = _mm512_load_ps(sum);
            __m512i hi = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(s));
            __m512 rest = _mm512_sub_ps(s, _mm512_castsi512_ps(_mm512_slli_epi32(hi, 16)));
            __m512i lo = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(rest));
            _mm512_storeu_si512(sums + (size_t)g * 128, _mm512_or_si512(hi, _mm512_slli_epi32(hi, 16)));
            _mm512_storeu_si512(sums + (size_t)g * 128 + 64, _mm512_or_si512(lo, _mm512_slli_epi32(lo, 16)));
        }
    }
}

/* One half strip (16 columns) of a group of blocks, expanded. Block 0 of scale is 1: it belongs to the m term. */
struct half_group {
    _Alignas(64) unsigned char codes[VT_GROUP * TILE];
    _Alignas(64) unsigned char m[TILE];
    _Alignas(64) float scale[VT_GROUP + 1][HALF];
};

/* m of one block, 16 columns, as a pair row (m_hi, m_lo); m has 11 significant bits, so hi + lo == m. */
static __m512i split_m(__m512 m)
{
    __m512i hi = _mm512_and_si512(_mm512_castps_si512(m), _mm512_set1_epi32((int)0xffff0000));
    __m512 lo = _mm512_sub_ps(m, _mm512_castsi512_ps(hi));
    return _mm512_or_si512(_mm512_srli_epi32(hi, 16), _mm512_and_si512(_mm512_castps_si512(lo), _mm512_set1_epi32((int)0xffff0000)));
}

/* Bytes ahead are asked for while this group is expanded, so that one pass over the weights never waits for memory. */
static void expand_group(const struct vt_matrix *w, const unsigned char *block, int n_blocks, struct half_group out[2])
{
    bool four_bit = w->layout != VT_LAYOUT_Q8_0, has_m = w->layout == VT_LAYOUT_Q4_1;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8, block_bytes = vt_block_bytes(w->layout);
    const __m512i table = code_table(w->layout);
    for (int b = 0; b < n_blocks; b++, block += block_bytes) {
        for (size_t i = 0; i < block_bytes; i += 64)
            _mm_prefetch((const char *)block + VT_GROUP * block_bytes + i, _MM_HINT_T0);
        for (int h = 0; h < 2; h++) {
            const unsigned char *c = block + (size_t)h * codes, *d = block + 2 * codes + 32 * h;
            if (four_bit)
                expand_half4(c, table, out[h].codes + b * TILE);
            else
                expand_half8(c, out[h].codes + b * TILE);
            _mm512_store_ps(out[h].scale[b + 1], half_load16(d));
            if (has_m)
                _mm512_store_si512(out[h].m + 64 * b, split_m(half_load16(d + 2 * VT_STRIP)));
        }
    }
    for (int h = 0; h < 2 && has_m; h++)
        memset(out[h].m + 64 * n_blocks, 0, (size_t)(64 * (VT_GROUP - n_blocks)));
}

/* Where a tile of rows finds its operands. */
struct tile_args {
    const unsigned char *a, *sums; /* activations of the group's first block; its (hi, hi), (lo, lo) pairs */
    size_t stride;
    const struct half_group *w;
    int first, n_blocks; /* first = 0: with the m term */
    float *y;
    size_t ldy;
    __mmask16 columns;
    bool from_y;
};

#define BLOCK_START(c, a_tile, b_tile, t)                                                                              \
    do {                                                                                                               \
        TILE_ZERO(c);                                                                                                  \
        if ((t) == 0) {                                                                                                \
            TILE_LOAD(a_tile, g->sums, g->stride);                                                                     \
            TILE_LOAD(b_tile, g->w->m, 64);                                                                            \
            TILE_DP(c, a_tile, b_tile);                                                                                \
            TILE_LOAD(a_tile, g->sums + 64, g->stride);                                                                \
        } else {                                                                                                       \
            TILE_LOAD(a_tile, g->a + ((t)-1) * 64, g->stride);                                                         \
            TILE_LOAD(b_tile, g->w->codes + ((t)-1) * TILE, 64);                                                       \
        }                                                                                                              \
        TILE_DP(c, a_tile, b_tile);                                                                                    \
    } while (0)

/* Step t of the pipeline: block t starts in accumulator `now`; block t - 3, in accumulator `old`, is stored; block
 * t - 4 is scaled and added. */
#define BLOCK_STEP(now, old, a_tile, b_tile, t)                                                                        \
    do {                                                                                                               \
        if ((t) <= g->n_blocks)                                                                                        \
            BLOCK_START(now, a_tile, b_tile, t);                                                                       \
        if ((t)-3 >= g->first && (t)-3 <= g->n_blocks)                                                                 \
            TILE_STORE(old, ring[((t)-3) % RING], 64);                                                                 \
        if ((t)-4 >= g->first && (t)-4 <= g->n_blocks) {                                                               \
            __m512 d = _mm512_load_ps(g->w->scale[(t)-4]);                                                             \
            const float *dot = ring[((t)-4) % RING];                                                                   \
            for (int r = 0; r < height; r++)                                                                           \
                acc[r] = _mm512_fmadd_ps(d, _mm512_load_ps(dot + HALF * r), acc[r]);                                   \
        }                                                                                                              \
    } while (0)

/* height: rows of registers, at least the rows of the tile configuration; only n_rows are stored. */
static inline __attribute__((always_inline)) void group_tile(int height, int n_rows, const struct tile_args *g, float (*ring)[HALF * HALF])
{
    __m512 acc[HALF];
    for (int r = 0; r < height; r++)
        acc[r] = g->from_y && r < n_rows ? _mm512_maskz_loadu_ps(g->columns, g->y + (size_t)r * g->ldy) : _mm512_setzero_ps();
    for (int t = g->first & ~3; t <= g->n_blocks + 4; t += 4) {
        if (t >= g->first)
            BLOCK_STEP(0, 1, 4, 6, t);
        BLOCK_STEP(1, 2, 5, 7, t + 1);
        BLOCK_STEP(2, 3, 4, 6, t + 2);
        BLOCK_STEP(3, 0, 5, 7, t + 3);
    }
    for (int r = 0; r < height && r < n_rows; r++)
        _mm512_mask_storeu_ps(g->y + (size_t)r * g->ldy, g->columns, acc[r]);
}

static void group_tile_any(int n_rows, const struct tile_args *g, float (*ring)[HALF * HALF])
{
    if (n_rows > 8)
        group_tile(16, n_rows, g, ring);
    else if (n_rows > 4)
        group_tile(8, n_rows, g, ring);
    else if (n_rows > 2)
        group_tile(4, n_rows, g, ring);
    else if (n_rows > 1)
        group_tile(2, n_rows, g, ring);
    else
        group_tile(1, n_rows, g, ring);
}

static __mmask16 column_mask(int n)
{
    return n >= HALF ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1u);
}

static void gemm_codes(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y, size_t ldy, bool add)
{
    struct half_group half[2];
    _Alignas(64) float ring[RING][HALF * HALF] = {{0}};
    int n_blocks = w->n_in / VT_BLOCK, configured = 0;
    for (int h = 0; h < 2; h++)
        _mm512_store_ps(half[h].scale[0], _mm512_set1_ps(1.0f));
    for (int n = n0; n < n1; n += VT_STRIP)
        for (int b = 0; b < n_blocks; b += VT_GROUP) {
            int here = n_blocks - b < VT_GROUP ? n_blocks - b : VT_GROUP;
            expand_group(w, vt_strip_block(w, n / VT_STRIP, b), here, half);
            for (int r = r0; r < r1; r += HALF) {
                int n_rows = r1 - r < HALF ? r1 - r : HALF;
                const unsigned char *row = x->data + (size_t)r * x->stride;
                if (n_rows != configured)
                    tiles_configure(n_rows, n_rows);
                configured = n_rows;
                for (int h = 0; h < 2; h++) {
                    struct tile_args g = {row + (size_t)b * 64, row + acts_sums(x->n_in) + (size_t)b / VT_GROUP * 128, x->stride, &half[h],
                                          w->layout == VT_LAYOUT_Q4_1 ? 0 : 1, here, y + (size_t)(r - r0) * ldy + n + HALF * h, ldy,
                                          column_mask(n1 - n - HALF * h), add || b};
                    group_tile_any(n_rows, &g, ring);
                }
            }
        }
}

/* 32 rows (16 + n_low) by 32 columns of bf16 weights over n_blocks blocks, continuing from y when from_y. */
static void bf16_tile(int n_low, const unsigned char *a, size_t stride, const unsigned char *b, int n_blocks, float *y, size_t ldy,
                      bool from_y)
{
    size_t ld = ldy * sizeof(float);
    float *low = y + HALF * ldy;
    if (from_y) {
        TILE_LOAD(0, y, ld);
        TILE_LOAD(1, y + HALF, ld);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    if (from_y && n_low) {
        TILE_LOAD(2, low, ld);
        TILE_LOAD(3, low + HALF, ld);
    }
    for (int k = 0; k < n_blocks; k++, a += 64, b += 2 * TILE) {
        TILE_LOAD(4, a, stride);
        TILE_LOAD(6, b, 128);
        TILE_LOAD(7, b + 64, 128);
        TILE_DP(0, 4, 6);
        TILE_DP(1, 4, 7);
        if (n_low) {
            TILE_LOAD(5, a + HALF * stride, stride);
            TILE_DP(2, 5, 6);
            TILE_DP(3, 5, 7);
        }
    }
    TILE_STORE(0, y, ld);
    TILE_STORE(1, y + HALF, ld);
    if (n_low) {
        TILE_STORE(2, low, ld);
        TILE_STORE(3, low + HALF, ld);
    }
}

static void gemm_bf16(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y, size_t ldy, bool add)
{
    enum { ROWS = 2 * HALF, K_BLOCKS = 16 };
    _Alignas(64) float edge[ROWS * VT_STRIP];
    int n_blocks = vt_round_up(w->n_in, VT_BLOCK) / VT_BLOCK, configured = 0;
    for (int n = n0; n < n1; n += VT_STRIP) {
        int n_columns = n1 - n < VT_STRIP ? n1 - n : VT_STRIP;
        for (int b = 0; b < n_blocks; b += K_BLOCKS) {
            int here = n_blocks - b < K_BLOCKS ? n_blocks - b : K_BLOCKS;
            for (int r = r0; r < r1; r += ROWS) {
                int n_rows = r1 - r < ROWS ? r1 - r : ROWS, top = n_rows < HALF ? n_rows : HALF, low = n_rows - top;
                float *yr = y + (size_t)(r - r0) * ldy + n, *to = n_columns < VT_STRIP ? edge : yr;
                size_t ld = n_columns < VT_STRIP ? VT_STRIP : ldy, row_bytes = (size_t)n_columns * sizeof(float);
                if (n_rows != configured)
                    tiles_configure(top, low ? low : 1);
                configured = n_rows;
                for (int i = 0; i < n_rows && to == edge && (add || b); i++)
                    memcpy(edge + (size_t)i * VT_STRIP, yr + (size_t)i * ldy, row_bytes);
                bf16_tile(low, x->data + (size_t)r * x->stride + (size_t)b * 64, x->stride, vt_strip_block(w, n / VT_STRIP, b), here, to, ld,
                          add || b);
                for (int i = 0; i < n_rows && to == edge; i++)
                    memcpy(yr + (size_t)i * ldy, edge + (size_t)i * VT_STRIP, row_bytes);
            }
        }
    }
}

static void gemm_amx(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y, size_t ldy, bool add)
{
    if (w->layout == VT_LAYOUT_F32) {
        vt_kernels_avx512.gemm(w, x, r0, r1, n0, n1, y, ldy, add);
        return;
    }
    for (int r = r0; r < r1; r += ROW_BLOCK) {
        int end = r1 - r < ROW_BLOCK ? r1 : r + ROW_BLOCK;
        float *yr = y + (size_t)(r - r0) * ldy;
        if (w->layout == VT_LAYOUT_BF16)
            gemm_bf16(w, x, r, end, n0, n1, yr, ldy, add);
        else
            gemm_codes(w, x, r, end, n0, n1, yr, ldy, add);
    }
    tiles_release();
}

void vt_kernels_amx_fill(struct vt_kernels *k)
{
    k->name = "amx";
    k->has_bf16 = true;
    k->acts_pack = acts_pack_amx;
    k->gemm = gemm_amx;
}
