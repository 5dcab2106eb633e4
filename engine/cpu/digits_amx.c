/* SPDX-License-Identifier: Apache-2.0
 *
 * digits_amx.c: products with weights of codes and of integers on AMX's integer tiles.
 *
 * A weight d_b q + m_b becomes a 16-bit integer W in units of its column's scale (layout.h; I16 weights are such
 * already), an activation a 16-bit integer X in units of its row's and group's (digits.h). Both are two signed digits
 * to the base 256, and a row times a column is W . X = 65536 sum(w_hi x_hi) + 256 (sum(w_hi x_lo) + sum(w_lo x_hi)) +
 * sum(w_lo x_lo). The last sum is left out: it is a quarter of the work, and its terms are below 2^-15 of the largest
 * product. On SmolLM2-135M a log-probability is off by 1.6e-3 on average instead of 0.7e-3; with activations of bf16,
 * whose one product costs two of these, by 9e-3. Scaling the sum of each block of 32 in floating point, the other way
 * to keep 4-bit codes exact, was slower by half. Sums of integers are exact, so their order, the number of rows and the
 * thread cannot matter. Groups of up to DIGITS_GROUP steps of 64 k are scaled and added to y in fp32, ascending; where
 * they end depends on K only.
 *
 * Codes become digits 32 columns by one group at a time (20 KiB), which stay in the first-level cache while all rows
 * pass, 16 at a time. The sums of 16 rows are scaled while the tiles multiply the next 16. Expanding the next group
 * meanwhile too is slower than doing it at once, and so is asking for the next rows: those accesses hinder the tiles'.
 */
#include "cpu/kernels_isa.h"

#include "cpu/amx.h"
#include "cpu/digits.h"

enum { TILE = 1024, HALF = 16, STEP_BYTES = 4 * TILE, ROW_BYTES = 64 };

/* Digits of 4 k of 16 columns: `even` and `odd` hold k, k + 1 and k + 2, k + 3 of W + 128 as 16-bit pairs. The order of
 * k within the four, which activations follow, is 0 2 1 3. */
static inline void put_digits(__m512i even, __m512i odd, unsigned char *out)
{
    const __m512i low_byte = _mm512_set1_epi16(0xff), flip = _mm512_set1_epi8((char)0x80);
    __m512i high = _mm512_ternarylogic_epi64(_mm512_srli_epi16(even, 8), low_byte, odd, 0xf2);
    __m512i low = _mm512_ternarylogic_epi64(even, low_byte, _mm512_slli_epi16(odd, 8), 0xea);
    _mm512_store_si512(out, high);
    _mm512_store_si512(out + TILE, _mm512_xor_si512(low, flip));
}

/* W + 128 of the code in the top bits of each 16-bit lane: code * step / 2^15, rounded, + offset. */
static inline __m512i weight(__m512i code, __m512i step, __m512i offset)
{
    return _mm512_add_epi16(_mm512_mulhrs_epi16(code, step), offset);
}

/* 16 floats to 16-bit integers, each twice. */
static inline __m512i twice16(__m512 x)
{
    __m512i i = _mm512_cvtps_epi32(x);
    return _mm512_mask_blend_epi16(0xaaaaaaaau, i, _mm512_slli_epi32(i, 16));
}

/* Half `h` of one block of integers, which are the weights already. */
static void expand_integers(const unsigned char *block, int h, unsigned char *out)
{
    const __m512i offset = _mm512_set1_epi16(128);
    for (const unsigned char *pair = block + ROW_BYTES * h; pair < block + 32 * ROW_BYTES;
         pair += 4 * ROW_BYTES, out += ROW_BYTES)
        put_digits(_mm512_add_epi16(_mm512_loadu_si512(pair), offset),
                   _mm512_add_epi16(_mm512_loadu_si512(pair + 2 * ROW_BYTES), offset), out);
}

/* Half `h` (16 columns) of one block of codes: 8 rows of a high tile, and of the low tile behind it. */
static void expand_half(enum vt_layout layout, const unsigned char *block, int h, __m512 inv, unsigned char *out)
{
    bool four_bit = layout != VT_LAYOUT_Q8_0;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8;
    const unsigned char *code = block + (size_t)h * codes, *d = block + 2 * codes + 32 * h;
    __m512 scale = _mm512_mul_ps(half_load16(d), inv), zero = _mm512_setzero_ps();
    if (!four_bit) {
        const __m512i step = twice16(_mm512_mul_ps(scale, _mm512_set1_ps(128.0f))), offset = _mm512_set1_epi16(128),
                      high = _mm512_set1_epi16((short)0xff00);
        for (int g = 0; g < 8; g++, code += 64, out += ROW_BYTES) {
            __m512i v = _mm512_loadu_si512(code);
            put_digits(weight(_mm512_slli_epi16(v, 8), step, offset), weight(_mm512_and_si512(v, high), step, offset),
                       out);
        }
        return;
    }
    /* d q + m = 8 d (q - 8) / 8 + (8 d + m) */
    __m512 eight_d = _mm512_mul_ps(scale, _mm512_set1_ps(8.0f));
    if (layout == VT_LAYOUT_Q4_1)
        zero = _mm512_fmadd_ps(half_load16(d + 2 * VT_STRIP), inv, eight_d);
    const __m512i step = twice16(eight_d), offset = _mm512_add_epi16(twice16(zero), _mm512_set1_epi16(128)),
                  top = _mm512_set1_epi16((short)0xf000), minus_8 = _mm512_set1_epi16((short)0x8000);
#define CODE(v) weight(_mm512_ternarylogic_epi64((v), top, minus_8, 0x6a), step, offset)
    for (int g = 0; g < 4; g++, code += 64, out += 2 * ROW_BYTES) {
        __m512i v = _mm512_loadu_si512(code);
        put_digits(CODE(_mm512_slli_epi16(v, 12)), CODE(_mm512_slli_epi16(v, 8)), out);
        put_digits(CODE(_mm512_slli_epi16(v, 4)), CODE(v), out + ROW_BYTES);
    }
#undef CODE
}

/* n_steps steps of the strip at column n -> [step][half][high, low] tiles of 16 rows (4 k each) by 16 columns. The same
 * bytes of the next group, or of the next strip, are asked for meanwhile. */
static void expand_group(const struct vt_matrix *w, int n, int step, int n_steps, unsigned char *out)
{
    int n_blocks = vt_round_up(w->n_in, VT_BLOCK) / VT_BLOCK - 2 * step;
    size_t block_bytes = vt_block_bytes(w->layout), ahead = (size_t)n_steps * 2 * block_bytes;
    const unsigned char *block = vt_strip_block(w, n / VT_STRIP, 2 * step);
    const float *scale = vt_column_scales(w) + n;
    const __m512 one = _mm512_set1_ps(1.0f), inv[2] = {_mm512_div_ps(one, _mm512_loadu_ps(scale)),
                                                       _mm512_div_ps(one, _mm512_loadu_ps(scale + HALF))};
    n_blocks = n_blocks < 2 * n_steps ? n_blocks : 2 * n_steps;
    for (int b = 0; b < n_blocks; b++, block += block_bytes) {
        for (size_t i = 0; i < block_bytes; i += 64)
            _mm_prefetch((const char *)block + ahead + i, _MM_HINT_T0);
        unsigned char *tiles = out + b / 2 * STEP_BYTES + b % 2 * (TILE / 2);
        for (int h = 0; h < 2; h++)
            if (w->layout == VT_LAYOUT_I16)
                expand_integers(block, h, tiles + h * 2 * TILE);
            else
                expand_half(w->layout, block, h, inv[h], tiles + h * 2 * TILE);
    }
    for (int tile = 0; tile < 4 && n_blocks % 2; tile++)
        memset(out + n_blocks / 2 * STEP_BYTES + tile * TILE + TILE / 2, 0, TILE / 2);
}

/* Sums of 16 rows by 32 columns, waiting to be scaled and added to y. */
struct sums {
    _Alignas(64) int32_t tile[4][HALF * HALF]; /* for each half: sum(w_hi x_hi), sum(w_hi x_lo + w_lo x_hi) */
    const unsigned char *scale;                /* of the first row's activations */
    float *y;                                  /* first row, first column */
    const float *column_scale;
    int n_rows, n_columns;
    bool from_y;
};

_Static_assert(127 * 121 * DIGITS_GROUP * DIGITS_STEP < INT32_MAX / 257, "256 times a group's first sum fits 32 bits");

static void finish(const struct sums *s, size_t stride, size_t ldy)
{
    const __m512 base = _mm512_set1_ps(256.0f);
    for (int h = 0; h < 2; h++) {
        const __m512 column_scale = _mm512_mul_ps(base, _mm512_loadu_ps(s->column_scale + HALF * h));
        const __mmask16 columns = first_lanes(s->n_columns - HALF * h);
        float *y = s->y + HALF * h;
        for (int r = 0; r < s->n_rows; r++, y += ldy) {
            __m512 row_scale = _mm512_set1_ps(*(const float *)(const void *)(s->scale + (size_t)r * stride));
            __m512i high = _mm512_slli_epi32(_mm512_load_si512(s->tile[2 * h] + r * HALF), 8);
            __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(high, _mm512_load_si512(s->tile[2 * h + 1] + r * HALF)));
            __m512 before = s->from_y ? _mm512_maskz_loadu_ps(columns, y) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(y, columns, _mm512_fmadd_ps(dot, _mm512_mul_ps(row_scale, column_scale), before));
        }
    }
}

/* 16 rows by 32 columns by n_steps. No product waits for the one before it. */
static void multiply(const unsigned char *x_hi, const unsigned char *x_lo, size_t stride, const unsigned char *b,
                     int n_steps)
{
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int i = 0; i < n_steps; i++, x_hi += ROW_BYTES, x_lo += ROW_BYTES, b += STEP_BYTES) {
        TILE_LOAD(4, x_hi, stride);
        TILE_LOAD(6, b, ROW_BYTES);
        TILE_DP_BYTES(0, 4, 6);
        TILE_LOAD(7, b + 2 * TILE, ROW_BYTES);
        TILE_DP_BYTES(2, 4, 7);
        TILE_LOAD(5, x_lo, stride);
        TILE_DP_BYTES(1, 5, 6);
        TILE_DP_BYTES(3, 5, 7);
        TILE_LOAD(6, b + TILE, ROW_BYTES);
        TILE_DP_BYTES(1, 4, 6);
        TILE_LOAD(7, b + 3 * TILE, ROW_BYTES);
        TILE_DP_BYTES(3, 4, 7);
    }
}

static void store_sums(struct sums *s)
{
    TILE_STORE(0, s->tile[0], ROW_BYTES);
    TILE_STORE(1, s->tile[1], ROW_BYTES);
    TILE_STORE(2, s->tile[2], ROW_BYTES);
    TILE_STORE(3, s->tile[3], ROW_BYTES);
}

void vt_kernels_amx_digits(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                           size_t ldy, bool add)
{
    _Alignas(64) unsigned char panel[DIGITS_GROUP * STEP_BYTES];
    struct sums sums[2];
    int n_steps = digits_steps(w->n_in), group = digits_group(n_steps), configured = 0, n_sums = 0;
    size_t digits = acts_digits(x->n_in), low = acts_digits_low(x->n_in);
    for (int n = n0; n < n1; n += VT_STRIP)
        for (int step = 0; step < n_steps; step += group) {
            int here = n_steps - step < group ? n_steps - step : group;
            expand_group(w, n, step, here, panel);
            for (int r = r0; r < r1; r += HALF, n_sums++) {
                int n_rows = r1 - r < HALF ? r1 - r : HALF;
                const unsigned char *row = x->data + (size_t)r * x->stride, *scales = row + acts_digits_scale(x->n_in);
                const unsigned char *hi = row + digits + (size_t)step * ROW_BYTES;
                struct sums *s = &sums[n_sums % 2];
                s->scale = scales + (size_t)(step / group) * sizeof(float);
                s->y = y + (size_t)(r - r0) * ldy + n;
                s->n_rows = n_rows;
                s->n_columns = n1 - n;
                s->column_scale = vt_column_scales(w) + n;
                s->from_y = add || step;
                if (n_rows != configured)
                    tiles_configure(n_rows, n_rows);
                configured = n_rows;
                multiply(hi, hi + low, x->stride, panel, here);
                if (n_sums)
                    finish(&sums[(n_sums + 1) % 2], x->stride, ldy);
                store_sums(s);
            }
        }
    if (n_sums)
        finish(&sums[(n_sums + 1) % 2], x->stride, ldy);
}
