/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm_impl.h: matrix products in fp32 FMA for the instruction set of the including file. A strip of 32 output columns
 * is expanded to fp32 a chunk of K at a time (exactly the checkpoint's values, see expand_strip) and reused by every
 * row; a register tile of TILE_ROWS x TILE_COLUMNS carries the chains, which rest in Y between chunks. fp32 stores and
 * loads are exact, so neither chunking nor tiling touches the order of a chain: k = 0, 1, 2, …, starting from y (add)
 * or from 0.
 */
#ifndef VT_CPU_GEMM_IMPL_H
#define VT_CPU_GEMM_IMPL_H

#include "cpu/layout.h"
#include "cpu/simd.h"

enum { K_CHUNK = 256 }; /* 256 x 32 floats = 32 KiB: a strip's chunk stays in the first-level cache */

/* Y[r][c] += sum_k X(r, k) W[k][c] for n_rows <= TILE_ROWS rows and TILE_COLUMNS columns. X(r, k) = x[r * sr + k * sk].
 */
INLINE void tile_fixed(int n_rows, int nk, const float *x, size_t sr, size_t sk, const float *w, size_t ldw, float *y,
                       size_t ldy)
{
    vf acc[TILE_ROWS][2];
    for (int r = 0; r < n_rows; r++) {
        acc[r][0] = v_load(y + (size_t)r * ldy);
        acc[r][1] = v_load(y + (size_t)r * ldy + LANES);
    }
    for (int k = 0; k < nk; k++) {
        vf w0 = v_load(w + (size_t)k * ldw), w1 = v_load(w + (size_t)k * ldw + LANES);
        for (int r = 0; r < n_rows; r++) {
            vf xr = v_set(x[(size_t)r * sr + (size_t)k * sk]);
            acc[r][0] = v_fma(xr, w0, acc[r][0]);
            acc[r][1] = v_fma(xr, w1, acc[r][1]);
        }
    }
    for (int r = 0; r < n_rows; r++) {
        v_store(y + (size_t)r * ldy, acc[r][0]);
        v_store(y + (size_t)r * ldy + LANES, acc[r][1]);
    }
}

/* Any number of rows and a multiple of TILE_COLUMNS columns, as tiles of constant height. One or two rows alone wait
 * for their own chains, so a rest of a few rows more than a full tile goes as tiles of four. */
static void tile_rows(int n_rows, int n_columns, int nk, const float *x, size_t sr, size_t sk, const float *w,
                      size_t ldw, float *y, size_t ldy)
{
    for (int r = 0; r < n_rows;) {
        int left = n_rows - r, step = left >= TILE_ROWS + 4 || left == TILE_ROWS ? TILE_ROWS : left >= 4 ? 4 : left;
        for (int c = 0; c < n_columns; c += TILE_COLUMNS) {
            const float *xr = x + (size_t)r * sr, *wc = w + c;
            float *yr = y + (size_t)r * ldy + c;
            if (step == TILE_ROWS)
                tile_fixed(TILE_ROWS, nk, xr, sr, sk, wc, ldw, yr, ldy);
            else if (step == 4)
                tile_fixed(4, nk, xr, sr, sk, wc, ldw, yr, ldy);
            else if (step == 3)
                tile_fixed(3, nk, xr, sr, sk, wc, ldw, yr, ldy);
            else if (step == 2)
                tile_fixed(2, nk, xr, sr, sk, wc, ldw, yr, ldy);
            else
                tile_fixed(1, nk, xr, sr, sk, wc, ldw, yr, ldy);
        }
        r += step;
    }
}

static void acts_pack_f32(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x, size_t ldx,
                          float scale)
{
    (void)p;
    int n_pad = vt_round_up(a->n_in, VT_BLOCK);
    for (int r = 0; r < n; r++) {
        float *out = (float *)(void *)(a->data + (size_t)(first + r) * a->stride);
        for (int k = 0; k < a->n_in; k++)
            out[k] = x[(size_t)r * ldx + (size_t)k] * scale;
        for (int k = a->n_in; k < n_pad; k++)
            out[k] = 0.0f;
    }
}

/* One half-strip of 16 columns of a quantised block, 32 rows of K, to fp32: w = d q + m. A code times an fp16 scale is
 * exact in fp32, so the fused form rounds once, at the sum, as ckpt.h defines the value. codes: one 32-bit lane per
 * column; see layout.h. */
INLINE void expand_codes(const uint32_t *codes, const float *d, const float *m, bool four_bit, int offset, float *out)
{
    int per_lane = four_bit ? 4 : 2, bits = four_bit ? 4 : 8;
    for (int c = 0; c < 16; c += LANES) {
        const vf dc = v_load(d + c), mc = v_load(m + c);
        for (int g = 0; g < 16 / per_lane; g++) {
            vu v;
            memcpy(&v, codes + 16 * g + c, sizeof v);
            for (int i = 0; i < per_lane; i++)
                for (int half = 0; half < 2; half++) {
                    float *row = out + (size_t)(2 * (per_lane * g + i) + half) * VT_STRIP;
                    vi q = four_bit ? (vi)(v >> (16 * half + 4 * i) & 15u) - offset
                                    : (vi)(v << (32 - bits - 16 * half - bits * i)) >> 24;
                    v_store(row + c, v_fma(dc, __builtin_convertvector(q, vf), mc));
                }
        }
    }
}

static void expand_block(const struct vt_matrix *w, const unsigned char *block, float *out)
{
    float d[VT_STRIP], m[VT_STRIP] = {0};
    bool four_bit = w->layout != VT_LAYOUT_Q8_0;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8;
    vt_half_load(block + 2 * codes, d);
    if (w->layout == VT_LAYOUT_Q4_1)
        vt_half_load(block + 2 * codes + 2 * VT_STRIP, m);
    for (int h = 0; h < 2; h++)
        expand_codes((const uint32_t *)(const void *)(block + (size_t)h * codes), d + 16 * h, m + 16 * h, four_bit,
                     w->layout == VT_LAYOUT_Q4_0 ? 8 : 0, out + 16 * h);
}

/* One block of 16-bit integers in units of the columns' scales. */
INLINE void expand_integers(const unsigned char *block, const float *scale, float *out)
{
    for (int c = 0; c < VT_STRIP; c += LANES) {
        const vf unit = v_load(scale + c);
        for (int row = 0; row < VT_BLOCK / 2; row++) {
            vu pair;
            memcpy(&pair, block + (size_t)row * 128 + (size_t)c * 4, sizeof pair);
            v_store(out + (size_t)(2 * row) * VT_STRIP + c, __builtin_convertvector((vi)(pair << 16) >> 16, vf) * unit);
            v_store(out + (size_t)(2 * row + 1) * VT_STRIP + c, __builtin_convertvector((vi)pair >> 16, vf) * unit);
        }
    }
}

/* fp32 values of strip s, rows [k0, k0 + nk) of K, as [nk][32]: a pointer into the matrix when it is stored so. */
static const float *expand_strip(const struct vt_matrix *w, int s, int k0, int nk, float *scratch)
{
    const unsigned char *block = vt_strip_block(w, s, k0 / VT_BLOCK);
    if (w->layout == VT_LAYOUT_F32)
        return (const float *)(const void *)block;
    size_t block_bytes = vt_block_bytes(w->layout);
    for (int k = 0; k < nk; k += VT_BLOCK, block += block_bytes) {
        float *out = scratch + (size_t)k * VT_STRIP;
        if (w->layout == VT_LAYOUT_I16)
            expand_integers(block, vt_column_scales(w) + s * VT_STRIP, out);
        if (vt_has_codes(w->layout))
            expand_block(w, block, out);
        if (w->layout != VT_LAYOUT_BF16)
            continue;
        for (int row = 0; row < VT_BLOCK / 2; row++)
            for (int c = 0; c < VT_STRIP; c += LANES) {
                vu pair;
                memcpy(&pair, block + (size_t)row * 128 + (size_t)c * 4, sizeof pair);
                v_store(out + (size_t)(2 * row) * VT_STRIP + c, (vf)(pair << 16));
                v_store(out + (size_t)(2 * row + 1) * VT_STRIP + c, (vf)(pair & 0xffff0000u));
            }
    }
    return scratch;
}

static void gemm_f32(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                     size_t ldy, bool add)
{
    enum { ROWS = 4 * TILE_ROWS };
    _Alignas(64) float scratch[K_CHUNK * VT_STRIP];
    float edge[ROWS * VT_STRIP];
    int n_k = vt_round_up(w->n_in, VT_BLOCK);
    for (int n = n0; n < n1; n += VT_STRIP) {
        int n_columns = n1 - n < VT_STRIP ? n1 - n : VT_STRIP;
        size_t row_bytes = (size_t)n_columns * sizeof(float);
        for (int k = 0; k < n_k; k += K_CHUNK) {
            int nk = n_k - k < K_CHUNK ? n_k - k : K_CHUNK;
            const float *wk = expand_strip(w, n / VT_STRIP, k, nk, scratch);
            for (int r = r0; r < r1; r += ROWS) {
                int n_rows = r1 - r < ROWS ? r1 - r : ROWS;
                const float *xr = (const float *)(const void *)(x->data + (size_t)r * x->stride) + k;
                float *yr = y + (size_t)(r - r0) * ldy + n;
                memset(edge, 0, sizeof edge);
                for (int i = 0; i < n_rows && (add || k); i++)
                    memcpy(edge + (size_t)i * VT_STRIP, yr + (size_t)i * ldy, row_bytes);
                tile_rows(n_rows, VT_STRIP, nk, xr, x->stride / sizeof(float), 1, wk, VT_STRIP, edge, VT_STRIP);
                for (int i = 0; i < n_rows; i++)
                    memcpy(yr + (size_t)i * ldy, edge + (size_t)i * VT_STRIP, row_bytes);
            }
        }
    }
}

static void gemm_tn_f32(enum vt_lm_precision prec, int n, int p0, int p1, int q, const float *a, size_t lda,
                        const float *b, size_t ldb, float scale, float *c, size_t ldc)
{
    (void)prec;
    _Alignas(64) float strip[K_CHUNK * VT_STRIP];
    float tile[TILE_ROWS * VT_STRIP];
    for (int j = 0; j < q; j += VT_STRIP) {
        int n_columns = q - j < VT_STRIP ? q - j : VT_STRIP;
        for (int k = 0; k < n; k += K_CHUNK) {
            int nk = n - k < K_CHUNK ? n - k : K_CHUNK;
            for (int i = 0; i < nk; i++) {
                float *to = strip + (size_t)i * VT_STRIP;
                memcpy(to, b + (size_t)(k + i) * ldb + j, (size_t)n_columns * sizeof(float));
                memset(to + n_columns, 0, (size_t)(VT_STRIP - n_columns) * sizeof(float));
            }
            for (int p = p0; p < p1; p += TILE_ROWS) {
                int n_rows = p1 - p < TILE_ROWS ? p1 - p : TILE_ROWS;
                memset(tile, 0, sizeof tile);
                tile_rows(n_rows, VT_STRIP, nk, a + (size_t)k * lda + p, 1, lda, strip, VT_STRIP, tile, VT_STRIP);
                for (int i = 0; i < n_rows; i++)
                    for (int l = 0; l < n_columns; l++) {
                        float *to = c + (size_t)(p + i) * ldc + j + l;
                        *to = s_fma(scale, tile[i * VT_STRIP + l], *to);
                    }
            }
        }
    }
}

#endif
