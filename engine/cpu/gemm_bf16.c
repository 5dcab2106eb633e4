/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm_bf16.c: matrix products with AVX512_BF16 (vdpbf16ps: two bf16 products added to an fp32 lane, denormals
 * flushed). Quantised weights keep their codes, exact in bf16: the 32 products of a block are one chain from zero, then
 *     acc = fma(d_b, dot_b, acc);  acc = fma(m_b, s_b, acc)
 * with s_b the fp32 sum of the block's rounded activations. A block of 16-bit integers is two such blocks of 8-bit
 * codes, its digits to the base 256. bf16 weights: one chain over K. A strip of 32 columns is
 * expanded a group of 16 blocks at a time (32 KiB) for all rows; sums rest in Y between groups; with add the chain
 * starts from y.
 */
#include "cpu/kernels_isa.h"

#include "cpu/bf16.h"

enum { ROWS = 6, PAIR_ROW = 128 };

static void acts_pack_bf16(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x,
                           size_t ldx, float scale)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.acts_pack(a, p, first, n, x, ldx, scale);
        return;
    }
    for (int r = 0; r < n; r++) {
        unsigned char *out = a->data + (size_t)(first + r) * a->stride, *sums = out + acts_sums(a->n_in);
        for (int k = 0; k < a->n_in; k += VT_BLOCK) {
            __m512i v = round_block(x + (size_t)r * ldx + k, a->n_in - k, scale);
            float sum = block_sum(v);
            _mm512_storeu_si512(out + (size_t)k * 2, v);
            memcpy(sums + (size_t)(k / VT_BLOCK) * sizeof sum, &sum, sizeof sum);
        }
    }
}

/* A group of blocks of a strip as pair rows of 32 columns, with scales. */
struct group {
    _Alignas(64) unsigned char pairs[VT_GROUP * 16 * PAIR_ROW];
    _Alignas(64) float d[VT_GROUP][VT_STRIP], m[VT_GROUP][VT_STRIP];
};

/* A pair row of 16-bit integers as its digits, each in bf16: w = 256 high + low. */
static void split_pairs(__m512i pairs, unsigned char *high, unsigned char *low)
{
    const __m512i half = _mm512_set1_epi16(128), top = _mm512_set1_epi16((short)0xff00);
    __m512i h = _mm512_and_si512(_mm512_add_epi16(pairs, half), top), l = _mm512_sub_epi16(pairs, h);
    _mm512_store_si512(high, pair_of_bytes(_mm512_slli_epi32(h, 16), h));
    _mm512_store_si512(low, pair_of_bytes(_mm512_slli_epi32(l, 24), _mm512_slli_epi32(l, 8)));
}

/* Integers: block b becomes the group's blocks 2 b (high digits) and 2 b + 1. */
static void expand_integers(const struct vt_matrix *w, int strip, const unsigned char *block, int n_blocks,
                            struct group *g)
{
    const float *scale = vt_column_scales(w) + strip * VT_STRIP;
    for (int b = 0; b < n_blocks; b++) {
        unsigned char *high = g->pairs + (size_t)b * 32 * PAIR_ROW, *low = high + 16 * PAIR_ROW;
        for (int i = 0; i < 32; i++, block += 64)
            split_pairs(_mm512_loadu_si512(block), high + 64 * i, low + 64 * i);
        for (int c = 0; c < VT_STRIP; c++) {
            g->d[2 * b][c] = 256.0f * scale[c];
            g->d[2 * b + 1][c] = scale[c];
        }
    }
}

static void expand_group(const struct vt_matrix *w, const unsigned char *block, int n_blocks, struct group *g)
{
    _Alignas(64) unsigned char half[1024];
    bool four_bit = w->layout != VT_LAYOUT_Q8_0;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8;
    const __m512i table = code_table(w->layout);
    for (int b = 0; b < n_blocks; b++, block += vt_block_bytes(w->layout))
        for (int h = 0; h < 2; h++) {
            const unsigned char *d = block + 2 * codes + 32 * h;
            if (four_bit)
                expand_half4(block + (size_t)h * codes, table, half);
            else
                expand_half8(block + (size_t)h * codes, half);
            for (int i = 0; i < 16; i++)
                memcpy(g->pairs + (size_t)(b * 16 + i) * PAIR_ROW + 64 * h, half + 64 * i, 64);
            _mm512_store_ps(g->d[b] + 16 * h, half_load16(d));
            if (w->layout == VT_LAYOUT_Q4_1)
                _mm512_store_ps(g->m[b] + 16 * h, half_load16(d + 2 * VT_STRIP));
        }
}

struct tile {
    const unsigned char *a, *sums; /* activations and block sums of the group's first block */
    size_t stride;
    const unsigned char *pairs;
    const struct group *g; /* NULL: bf16 weights, one chain */
    bool has_m;
    int n_blocks;
    int n_digits; /* blocks of the group to one of the activations */
    float *y;
    size_t ldy;
    __mmask16 columns[2];
    bool from_y;
};

static inline __attribute__((always_inline)) void dot_block(int n_rows, const struct tile *t, int b,
                                                            __m512 dot[ROWS][2])
{
    const unsigned char *w = t->pairs + (size_t)b * 16 * PAIR_ROW;
    for (int i = 0; i < 16; i++, w += PAIR_ROW) {
        __m512bh w0 = (__m512bh)_mm512_loadu_si512(w), w1 = (__m512bh)_mm512_loadu_si512(w + 64);
        for (int r = 0; r < n_rows; r++) {
            int pair;
            memcpy(&pair, t->a + (size_t)r * t->stride + (size_t)(b / t->n_digits * 64 + i * 4), sizeof pair);
            __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            dot[r][0] = _mm512_dpbf16_ps(dot[r][0], x, w0);
            dot[r][1] = _mm512_dpbf16_ps(dot[r][1], x, w1);
        }
    }
}

static inline __attribute__((always_inline)) void tile_fixed(int n_rows, const struct tile *t)
{
    __m512 acc[ROWS][2], dot[ROWS][2];
    for (int r = 0; r < n_rows; r++)
        for (int h = 0; h < 2; h++)
            acc[r][h] = t->from_y ? _mm512_maskz_loadu_ps(t->columns[h], t->y + (size_t)r * t->ldy + 16 * h)
                                  : _mm512_setzero_ps();
    for (int b = 0; b < t->n_blocks; b++) {
        if (!t->g) {
            dot_block(n_rows, t, b, acc);
            continue;
        }
        for (int r = 0; r < n_rows; r++)
            dot[r][0] = dot[r][1] = _mm512_setzero_ps();
        dot_block(n_rows, t, b, dot);
        for (int r = 0; r < n_rows; r++)
            for (int h = 0; h < 2; h++) {
                acc[r][h] = _mm512_fmadd_ps(_mm512_load_ps(t->g->d[b] + 16 * h), dot[r][h], acc[r][h]);
                float s;
                memcpy(&s, t->sums + (size_t)r * t->stride + (size_t)b * sizeof s, sizeof s);
                if (t->has_m)
                    acc[r][h] = _mm512_fmadd_ps(_mm512_load_ps(t->g->m[b] + 16 * h), _mm512_set1_ps(s), acc[r][h]);
            }
    }
    for (int r = 0; r < n_rows; r++)
        for (int h = 0; h < 2; h++)
            _mm512_mask_storeu_ps(t->y + (size_t)r * t->ldy + 16 * h, t->columns[h], acc[r][h]);
}

static void tile_any(int n_rows, const struct tile *t)
{
    switch (n_rows) {
    case 1:
        tile_fixed(1, t);
        break;
    case 2:
        tile_fixed(2, t);
        break;
    case 3:
        tile_fixed(3, t);
        break;
    case 4:
        tile_fixed(4, t);
        break;
    case 5:
        tile_fixed(5, t);
        break;
    default:
        tile_fixed(ROWS, t);
        break;
    }
}

static void gemm_bf16(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                      size_t ldy, bool add)
{
    if (w->layout == VT_LAYOUT_F32) {
        vt_kernels_avx512.gemm(w, x, r0, r1, n0, n1, y, ldy, add);
        return;
    }
    struct group g;
    const bool codes = vt_has_codes(w->layout), integers = w->layout == VT_LAYOUT_I16;
    const int n_digits = integers ? 2 : 1, group = VT_GROUP / n_digits;
    int n_blocks = vt_round_up(w->n_in, VT_BLOCK) / VT_BLOCK;
    for (int n = n0; n < n1; n += VT_STRIP)
        for (int b = 0; b < n_blocks; b += group) {
            const unsigned char *block = vt_strip_block(w, n / VT_STRIP, b);
            int here = n_blocks - b < group ? n_blocks - b : group;
            if (codes)
                expand_group(w, block, here, &g);
            if (integers)
                expand_integers(w, n / VT_STRIP, block, here, &g);
            for (int r = r0; r < r1; r += ROWS) {
                const unsigned char *row = x->data + (size_t)r * x->stride;
                struct tile t = {.a = row + (size_t)b * 64,
                                 .sums = row + acts_sums(x->n_in) + (size_t)b * sizeof(float),
                                 .stride = x->stride,
                                 .pairs = codes || integers ? g.pairs : block,
                                 .g = codes || integers ? &g : NULL,
                                 .has_m = w->layout == VT_LAYOUT_Q4_1,
                                 .n_blocks = here * n_digits,
                                 .n_digits = n_digits,
                                 .y = y + (size_t)(r - r0) * ldy + n,
                                 .ldy = ldy,
                                 .columns = {first_lanes(n1 - n), first_lanes(n1 - n - 16)},
                                 .from_y = add || b};
                tile_any(r1 - r < ROWS ? r1 - r : ROWS, &t);
            }
        }
}

void vt_kernels_bf16_gemm(struct vt_kernels *k)
{
    k->acts_pack = acts_pack_bf16;
    k->gemm = gemm_bf16;
}
