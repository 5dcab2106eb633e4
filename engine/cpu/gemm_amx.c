/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm_amx.c: matrix products on AMX tiles, bf16 operands and fp32 sums.
 *
 * Quantised weights keep their codes (integers, exact in bf16). One tile product covers 32 k: exactly one block, so its
 * 16 x 16 dot products are stored, scaled by the block's d in fp32 and added:  acc = fma(d_b, dot_b, acc),  b
 * ascending. Activations are x_hi + x_lo, two bf16 and two products into the same accumulator: the second product costs
 * a seventh of the time, since stores and FMAs dominate, and takes SmolLM2's mean error per token from 0.0086 to 0.0017
 * nats. Stores run three blocks and FMAs four behind the tile products, which hides most of them. The m_b of Q4_1
 * multiplies the block's sum of activations s_b: up to eight blocks make one tile whose pair rows are (m_hi, m_lo), an
 * exact split of the fp16 m, against (s_hi, s_hi), and again against (s_lo, s_lo), a split of s to 16 bits. A group's m
 * term is added before its blocks. bf16 weights: one chain of tile products over K with x_hi alone.
 *
 * What limits the speed is the first-level cache and the pipeline running dry. So a strip of 32 columns by one group of
 * blocks is expanded at a time (18 KiB), serves A_BYTES of activations (a part of the second-level cache), 16 rows at a
 * time (8 KiB), and the pipeline runs on across halves and rows. Sums rest in Y between groups; with add the chain
 * starts from y.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/bf16.h"

enum { A_BYTES = 1 << 19, TILE = 1024, HALF = 16, RING = 4, GROUP = 8, N_HALVES = 2 };

/* Blocks per group: at most GROUP and as even as can be. Depends on K only. */
static int group_size(int n_blocks)
{
    int n_groups = (n_blocks + GROUP - 1) / GROUP;
    return (n_blocks + n_groups - 1) / n_groups;
}

/* bf16 halves of 8 sums as 8 pairs (hi, hi), then 8 pairs (lo, lo). */
static void put_sums(const float sum[GROUP], unsigned char *out)
{
    __m256 s = _mm256_loadu_ps(sum);
    __m256i hi = _mm256_cvtepu16_epi32((__m128i)_mm256_cvtneps_pbh(s));
    __m256 rest = _mm256_sub_ps(s, _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16)));
    __m256i lo = _mm256_cvtepu16_epi32((__m128i)_mm256_cvtneps_pbh(rest));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_or_si256(hi, _mm256_slli_epi32(hi, 16)));
    _mm256_storeu_si256((__m256i *)(void *)(out + 32), _mm256_or_si256(lo, _mm256_slli_epi32(lo, 16)));
}

static void acts_pack_amx(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x, size_t ldx,
                          float scale)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.acts_pack(a, p, first, n, x, ldx, scale);
        return;
    }
    int n_blocks = vt_round_up(a->n_in, VT_BLOCK) / VT_BLOCK, group = group_size(n_blocks);
    for (int r = 0; r < n; r++) {
        unsigned char *out = a->data + (size_t)(first + r) * a->stride, *sums = out + acts_sums(a->n_in);
        for (int b = 0; b < n_blocks; b += group, sums += 64) {
            float sum[GROUP] = {0};
            for (int i = 0; i < group && b + i < n_blocks; i++) {
                size_t k = (size_t)(b + i) * VT_BLOCK;
                sum[i] = split_block(x + (size_t)r * ldx + k, a->n_in - (int)k, scale, out + 2 * k,
                                     out + acts_low(a->n_in) + 2 * k);
            }
            put_sums(sum, sums);
        }
    }
}

/* One half strip (16 columns) of a group of blocks, expanded. Scale 0 is 1: it belongs to the m term. */
struct half_group {
    _Alignas(64) unsigned char codes[GROUP * TILE];
    _Alignas(64) unsigned char m[TILE];
    _Alignas(64) float scale[GROUP + 1][HALF];
};

/* m of one block, 16 columns, as a pair row (m_hi, m_lo); m has 11 significant bits, so hi + lo == m. */
static __m512i split_m(__m512 m)
{
    __m512i hi = _mm512_and_si512(_mm512_castps_si512(m), _mm512_set1_epi32((int)0xffff0000));
    __m512 lo = _mm512_sub_ps(m, _mm512_castsi512_ps(hi));
    return _mm512_or_si512(_mm512_srli_epi32(hi, 16),
                           _mm512_and_si512(_mm512_castps_si512(lo), _mm512_set1_epi32((int)0xffff0000)));
}

/* Expands both halves of a strip. The bytes `ahead` of them, which the next call reads, are asked for meanwhile. */
static void expand_group(const struct vt_matrix *w, const unsigned char *block, int n_blocks, size_t ahead,
                         struct half_group out[2])
{
    bool four_bit = w->layout != VT_LAYOUT_Q8_0, has_m = w->layout == VT_LAYOUT_Q4_1;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8, block_bytes = vt_block_bytes(w->layout);
    const __m512i table = code_table(w->layout);
    for (int b = 0; b < n_blocks; b++, block += block_bytes) {
        for (size_t i = 0; i < block_bytes; i += 64)
            _mm_prefetch((const char *)block + ahead + i, _MM_HINT_T0);
        for (int h = 0; h < 2; h++) {
            const unsigned char *c = block + (size_t)h * codes, *d = block + 2 * codes + 32 * h;
            if (four_bit)
                expand_half4(c, table, out[h].codes + b * TILE);
            else
                expand_half8(c, out[h].codes + b * TILE);
            _mm512_store_ps(out[h].scale[b + 1], half_load16(d));
            if (has_m) {
                __m512i m = split_m(half_load16(d + 2 * VT_STRIP));
                _mm512_store_si512(out[h].m + 64 * b, m);
                _mm512_store_si512(out[h].m + 64 * (b + GROUP), m);
            }
        }
    }
    for (int h = 0; h < 2 && has_m; h++)
        for (int b = n_blocks; b < GROUP; b++) {
            _mm512_store_si512(out[h].m + 64 * b, _mm512_setzero_si512());
            _mm512_store_si512(out[h].m + 64 * (b + GROUP), _mm512_setzero_si512());
        }
}

/* The tile products of one group for a tile of rows: for each half, the m term (Q4_1) and the blocks. Right operands,
 * scales and offsets into a row of activations are the same for all rows. */
struct plan {
    int n_steps, n_per_half;
    struct step {
        const unsigned char *b;
        const float *scale;
        size_t a, a_low; /* a_low = 0: none */
    } step[N_HALVES * (GROUP + 1)];
};

static void plan_group(struct plan *p, const struct half_group *half, int n_halves, int n_blocks, bool has_m, size_t a,
                       size_t low, size_t sums)
{
    p->n_steps = 0;
    p->n_per_half = n_blocks + has_m;
    for (int h = 0; h < n_halves; h++)
        for (int t = has_m ? 0 : 1; t <= n_blocks; t++, p->n_steps++)
            p->step[p->n_steps] = t ? (struct step){half[h].codes + (t - 1) * TILE, half[h].scale[t],
                                                    a + (size_t)(t - 1) * 64, a + low + (size_t)(t - 1) * 64}
                                    : (struct step){half[h].m, half[h].scale[0], sums, 0};
}

struct rows {
    int n_tiles, n_rows;    /* tiles of rows, rows in each: 16, or fewer and one tile */
    const unsigned char *x; /* first row of activations */
    size_t stride;
    float *y; /* first row, first column of the strip */
    size_t ldy;
    __mmask16 columns[N_HALVES];
    bool from_y;
};

/* One step of the pipeline, s products after the first: product s starts in accumulator `now`; product s - 3, in
 * accumulator `old`, is stored; product s - 4 is scaled and added to the sums of its rows and half. */
#define PIPELINE_STEP(now, old, b_tile, s)                                                                             \
    do {                                                                                                               \
        if ((s) < total) {                                                                                             \
            TILE_ZERO(now);                                                                                            \
            TILE_LOAD(4, x + start->a, g->stride);                                                                     \
            TILE_LOAD(b_tile, start->b, 64);                                                                           \
            TILE_DP(now, 4, b_tile);                                                                                   \
            if (start->a_low) {                                                                                        \
                TILE_LOAD(5, x + start->a_low, g->stride);                                                             \
                TILE_DP(now, 5, b_tile);                                                                               \
            }                                                                                                          \
            if (++start == end) {                                                                                      \
                start = p->step;                                                                                       \
                x += HALF * g->stride;                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
        if ((s) >= 3 && (s)-3 < total)                                                                                 \
            TILE_STORE(old, ring[((now) + 1) % RING], 64);                                                             \
        if ((s) >= 4 && (s)-4 < total) {                                                                               \
            __m512 d = _mm512_load_ps(finish->scale);                                                                  \
            for (int r = 0; r < height; r++)                                                                           \
                acc[r] = _mm512_fmadd_ps(d, _mm512_load_ps(ring[now] + HALF * r), acc[r]);                             \
            finish++;                                                                                                  \
            if (finish == half_end) {                                                                                  \
                for (int r = 0; r < height; r++)                                                                       \
                    if (height < HALF ? r < g->n_rows : true)                                                          \
                        _mm512_mask_storeu_ps(y + (size_t)r * g->ldy, columns, acc[r]);                                \
                bool wraps = finish == end;                                                                            \
                y += wraps ? HALF * g->ldy - (size_t)(half_offset) : HALF;                                             \
                half_offset = wraps ? 0 : half_offset + HALF;                                                          \
                finish = wraps ? p->step : finish;                                                                     \
                half_end = finish + p->n_per_half;                                                                     \
                columns = g->columns[half_offset / HALF];                                                              \
                if ((s)-3 < total)                                                                                     \
                    for (int r = 0; r < height; r++)                                                                   \
                        acc[r] = g->from_y && (height < HALF ? r < g->n_rows : true)                                   \
                                     ? _mm512_maskz_loadu_ps(columns, y + (size_t)r * g->ldy)                          \
                                     : _mm512_setzero_ps();                                                            \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

/* height: rows held in registers, at least n_rows; 16 means exactly 16. */
static inline __attribute__((always_inline)) void group_rows(int height, const struct plan *p, const struct rows *g,
                                                             float (*ring)[HALF * HALF])
{
    __m512 acc[HALF];
    const struct step *start = p->step, *finish = p->step, *end = p->step + p->n_steps,
                      *half_end = finish + p->n_per_half;
    const unsigned char *x = g->x;
    float *y = g->y;
    int total = p->n_steps * g->n_tiles, half_offset = 0;
    __mmask16 columns = g->columns[0];
    for (int r = 0; r < height; r++)
        acc[r] =
            g->from_y && r < g->n_rows ? _mm512_maskz_loadu_ps(columns, y + (size_t)r * g->ldy) : _mm512_setzero_ps();
    for (int s = 0; s < total + 4; s += 4) {
        PIPELINE_STEP(0, 1, 6, s);
        PIPELINE_STEP(1, 2, 7, s + 1);
        PIPELINE_STEP(2, 3, 6, s + 2);
        PIPELINE_STEP(3, 0, 7, s + 3);
    }
}

static void group_rows_any(const struct plan *p, const struct rows *g, float (*ring)[HALF * HALF])
{
    if (g->n_rows == HALF)
        group_rows(HALF, p, g, ring);
    else if (g->n_rows > 8)
        group_rows(15, p, g, ring);
    else if (g->n_rows > 4)
        group_rows(8, p, g, ring);
    else if (g->n_rows > 2)
        group_rows(4, p, g, ring);
    else if (g->n_rows > 1)
        group_rows(2, p, g, ring);
    else
        group_rows(1, p, g, ring);
}

static __mmask16 column_mask(int n)
{
    return n >= HALF ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1u);
}

static void gemm_codes(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                       size_t ldy, bool add)
{
    struct half_group half[N_HALVES];
    struct plan plan;
    _Alignas(64) float ring[RING][HALF * HALF] = {{0}};
    int n_blocks = w->n_in / VT_BLOCK, group = group_size(n_blocks), configured = 0;
    size_t ahead = (size_t)group * vt_block_bytes(w->layout);
    for (int h = 0; h < N_HALVES; h++)
        _mm512_store_ps(half[h].scale[0], _mm512_set1_ps(1.0f));
    for (int n = n0; n < n1; n += VT_STRIP)
        for (int b = 0; b < n_blocks; b += group) {
            int here = n_blocks - b < group ? n_blocks - b : group;
            expand_group(w, vt_strip_block(w, n / VT_STRIP, b), here, ahead, half);
            plan_group(&plan, half, n1 - n > HALF ? 2 : 1, here, w->layout == VT_LAYOUT_Q4_1, (size_t)b * 64,
                       acts_low(x->n_in), acts_sums(x->n_in) + (size_t)(b / group) * 64);
            for (int r = r0; r < r1;) {
                int left = r1 - r, n_rows = left < HALF ? left : HALF, n_tiles = left < HALF ? 1 : left / HALF;
                struct rows g = {n_tiles,
                                 n_rows,
                                 x->data + (size_t)r * x->stride,
                                 x->stride,
                                 y + (size_t)(r - r0) * ldy + n,
                                 ldy,
                                 {column_mask(n1 - n), column_mask(n1 - n - HALF)},
                                 add || b};
                if (n_rows != configured)
                    tiles_configure(n_rows, n_rows);
                configured = n_rows;
                group_rows_any(&plan, &g, ring);
                r += n_tiles * n_rows;
            }
        }
}

/* 32 rows (16 + n_low) by 32 columns of bf16 weights over n_blocks blocks, continuing from y when from_y. */
static void bf16_tile(int n_low, const unsigned char *a, size_t stride, const unsigned char *b, int n_blocks, float *y,
                      size_t ldy, bool from_y)
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

static void gemm_bf16(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                      size_t ldy, bool add)
{
    enum { ROWS = 2 * HALF, K_BLOCKS = 8 };
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
                bf16_tile(low, x->data + (size_t)r * x->stride + (size_t)b * 64, x->stride,
                          vt_strip_block(w, n / VT_STRIP, b), here, to, ld, add || b);
                for (int i = 0; i < n_rows && to == edge; i++)
                    memcpy(yr + (size_t)i * ldy, edge + (size_t)i * VT_STRIP, row_bytes);
            }
        }
    }
}

static void gemm_amx(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                     size_t ldy, bool add)
{
    if (w->layout == VT_LAYOUT_F32) {
        vt_kernels_avx512.gemm(w, x, r0, r1, n0, n1, y, ldy, add);
        return;
    }
    int row_block = vt_round_up((int)((size_t)A_BYTES / x->stride), 32);
    for (int r = r0; r < r1; r += row_block) {
        int end = r1 - r < row_block ? r1 : r + row_block;
        float *yr = y + (size_t)(r - r0) * ldy;
        if (w->layout == VT_LAYOUT_BF16)
            gemm_bf16(w, x, r, end, n0, n1, yr, ldy, add);
        else
            gemm_codes(w, x, r, end, n0, n1, yr, ldy, add);
    }
    tiles_release();
}

void vt_kernels_amx_gemm(struct vt_kernels *k)
{
    k->acts_pack = acts_pack_amx;
    k->gemm = gemm_amx;
}
