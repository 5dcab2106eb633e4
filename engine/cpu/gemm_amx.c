/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm_amx.c: matrix products on AMX tiles. Weights of codes and of integers go to digits_amx.c; here are the
 * packing of activations, which serves both, and the product with bf16 weights (LoRA, gradients, unquantised models):
 * bf16 operands, one chain of tile products over K in fp32.
 *
 * Rows come in blocks of A_BYTES of activations, of which a product reads half: a part of the second-level cache holds
 * that while all columns pass. Weights stream through once per block; the next group of them is fetched meanwhile.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/digits.h"
#include <math.h>

enum { A_BYTES = 2 << 20, HALF = 16, TILE = 1024, BLOCK_BYTES = 2 * TILE };

/* Digits of one group, n values (zeros behind), whose scale is returned. */
static float pack_group(int n, const float *x, float scale, unsigned char *hi, unsigned char *lo)
{
    float most = abs_max(x, n) * fabsf(scale), inv = most > 1e-30f && most <= FLT_MAX ? DIGITS_MAX / most : 0.0f;
    const __m512 factor = _mm512_set1_ps(scale * inv);
    for (int i = 0; i < n; i += DIGITS_STEP) {
        __m512i v[4];
        for (int j = 0; j < 4; j++) {
            __mmask16 k = first_lanes(n - i - 16 * j);
            v[j] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i + 16 * j), factor));
        }
        split_digits(v, hi + i, lo + i);
    }
    return most <= FLT_MAX ? most / DIGITS_MAX : NAN;
}

static void pack_digits(int n, const float *x, float scale, unsigned char *out)
{
    int group = digits_group(digits_steps(n)) * DIGITS_STEP;
    unsigned char *hi = out + acts_digits(n), *lo = hi + acts_digits_low(n), *units = out + acts_digits_scale(n);
    for (int i = 0; i < n; i += group, units += sizeof(float)) {
        float unit = pack_group(n - i < group ? n - i : group, x + i, scale, hi + i, lo + i);
        memcpy(units, &unit, sizeof unit);
    }
}

static void acts_pack_amx(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x, size_t ldx,
                          float scale)
{
    if (p == VT_LM_F32) {
        vt_kernels_avx512.acts_pack(a, p, first, n, x, ldx, scale);
        return;
    }
    for (int r = 0; r < n; r++, x += ldx) {
        unsigned char *out = a->data + (size_t)(first + r) * a->stride;
        for (int i = 0; i < a->n_in; i += VT_BLOCK)
            _mm512_storeu_si512(out + (size_t)i * 2, round_block(x + i, a->n_in - i, scale));
        if (!a->is_plain)
            pack_digits(a->n_in, x, scale, out);
    }
}

/* 32 rows (16 + n_low) by 32 columns of bf16 weights over n_blocks blocks, continuing from y when from_y. At each block
 * n_ahead bytes of the weights to come are asked for. */
static void bf16_tile(int n_low, const unsigned char *a, size_t stride, const unsigned char *b, int n_blocks, float *y,
                      size_t ldy, bool from_y, const unsigned char *ahead, size_t n_ahead)
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
    for (int k = 0; k < n_blocks; k++, a += 64, b += BLOCK_BYTES, ahead += n_ahead) {
        for (size_t i = 0; i < n_ahead; i += 64)
            _mm_prefetch((const char *)ahead + i, _MM_HINT_T1);
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
    enum { ROWS = 2 * HALF, K_BLOCKS = 9 };
    _Alignas(64) float edge[ROWS * VT_STRIP];
    int n_blocks = vt_round_up(w->n_in, VT_BLOCK) / VT_BLOCK, configured = 0;
    int n_groups = (n_blocks + K_BLOCKS - 1) / K_BLOCKS, group = (n_blocks + n_groups - 1) / n_groups;
    size_t n_ahead = (size_t)vt_round_up(BLOCK_BYTES / ((r1 - r0 + ROWS - 1) / ROWS), 64);
    for (int n = n0; n < n1; n += VT_STRIP) {
        int n_columns = n1 - n < VT_STRIP ? n1 - n : VT_STRIP;
        for (int b = 0; b < n_blocks; b += group) {
            int here = n_blocks - b < group ? n_blocks - b : group;
            const unsigned char *block = vt_strip_block(w, n / VT_STRIP, b),
                                *ahead = block + (size_t)here * BLOCK_BYTES;
            for (int r = r0; r < r1; r += ROWS, ahead += (size_t)here * n_ahead) {
                int n_rows = r1 - r < ROWS ? r1 - r : ROWS, top = n_rows < HALF ? n_rows : HALF, low = n_rows - top;
                float *yr = y + (size_t)(r - r0) * ldy + n, *to = n_columns < VT_STRIP ? edge : yr;
                size_t ld = n_columns < VT_STRIP ? VT_STRIP : ldy, row_bytes = (size_t)n_columns * sizeof(float);
                if (n_rows != configured)
                    tiles_configure(top, low ? low : 1);
                configured = n_rows;
                for (int i = 0; i < n_rows && to == edge && (add || b); i++)
                    memcpy(edge + (size_t)i * VT_STRIP, yr + (size_t)i * ldy, row_bytes);
                bf16_tile(low, x->data + (size_t)r * x->stride + (size_t)b * 64, x->stride, block, here, to, ld,
                          add || b, ahead, n_ahead);
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
            vt_kernels_amx_digits(w, x, r, end, n0, n1, yr, ldy, add);
    }
    tiles_release();
}

void vt_kernels_amx_gemm(struct vt_kernels *k)
{
    k->acts_pack = acts_pack_amx;
    k->gemm = gemm_amx;
}
