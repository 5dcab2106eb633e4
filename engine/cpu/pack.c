/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c: a checkpoint's tensors into the layout of layout.h. Tensors of 4- and 8-bit codes keep their codes and fp16
 * scales, and bf16 stays bf16, so nothing is lost; other types become fp32 (F32) or, in FAST, 16-bit integers in units
 * of their output column: fp32, fp16, and Q4_K and Q6_K, whose scales are products. In bf16 they would lose what moves
 * a log-probability by a few hundredths; an integer takes the same memory and a thirtieth of that error.
 */
#include "cpu/layout.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum vt_layout vt_layout_of(enum vt_lm_precision p, enum vt_dtype dtype)
{
    if (p == VT_LM_F32)
        return VT_LAYOUT_F32;
    switch (dtype) {
    case VT_Q4_0:
        return VT_LAYOUT_Q4_0;
    case VT_Q4_1:
        return VT_LAYOUT_Q4_1;
    case VT_Q8_0:
        return VT_LAYOUT_Q8_0;
    case VT_BF16:
        return VT_LAYOUT_BF16;
    default:
        return VT_LAYOUT_I16;
    }
}

size_t vt_matrix_bytes(enum vt_layout layout, int n_out, int n_in)
{
    size_t strips = (size_t)vt_round_up(n_out, VT_STRIP) / VT_STRIP,
           blocks = (size_t)vt_round_up(n_in, VT_BLOCK) / VT_BLOCK;
    return strips * (blocks * vt_block_bytes(layout) + (vt_has_scales(layout) ? VT_STRIP * sizeof(float) : 0));
}

static unsigned char *block_at(const struct vt_matrix *w, unsigned char *memory, int row, int block)
{
    return memory + (vt_strip_block(w, row / VT_STRIP, block) - (const unsigned char *)w->data);
}

static void put_16_bits(unsigned char *block, int column, int k, uint16_t bits)
{
    memcpy(block + (size_t)(k / 2) * 128 + (size_t)column * 4 + (size_t)(k % 2) * 2, &bits, sizeof bits);
}

/* Element k of column `row` in a block of fp32, bf16 or integers in units of scale. */
static void put_value(enum vt_layout layout, unsigned char *block, int column, int k, float x, float scale)
{
    if (layout == VT_LAYOUT_F32)
        memcpy(block + ((size_t)k * VT_STRIP + (size_t)column) * sizeof x, &x, sizeof x);
    else if (layout == VT_LAYOUT_BF16)
        put_16_bits(block, column, k, vt_f32_to_bf16(x));
    else
        put_16_bits(block, column, k, (uint16_t)(int16_t)lrintf(x / scale));
}

/* One 32-weight block of a GGUF row: codes and scales into column `column` of the packed block. */
static void put_codes(enum vt_layout layout, unsigned char *block, int column, const unsigned char *raw)
{
    bool four_bit = layout != VT_LAYOUT_Q8_0;
    size_t codes = four_bit ? VT_CODES4 : VT_CODES8;
    const unsigned char *q = raw + (layout == VT_LAYOUT_Q4_1 ? 4 : 2);
    unsigned char *half = block + (size_t)(column / 16) * codes + (size_t)(column % 16) * 4;
    memcpy(block + 2 * codes + (size_t)column * 2, raw, 2);
    if (layout == VT_LAYOUT_Q4_1)
        memcpy(block + 2 * codes + 2 * VT_STRIP + (size_t)column * 2, raw + 2, 2);
    for (int k = 0; k < VT_BLOCK; k++) {
        int pair = k / 2, odd = k % 2;
        if (four_bit) {
            unsigned code = k < 16 ? q[k] & 15u : (unsigned)q[k - 16] >> 4;
            unsigned char *byte = half + (size_t)(pair / 4) * 64 + (size_t)odd * 2 + (size_t)(pair % 4) / 2;
            *byte = (unsigned char)(*byte | code << (pair % 2 ? 4 : 0));
        } else {
            half[(size_t)(pair / 2) * 64 + (size_t)odd * 2 + (size_t)(pair % 2)] = q[k];
        }
    }
}

/* The largest weight that the codes of a raw block can name. */
static float block_max(enum vt_layout layout, const unsigned char *raw)
{
    float d = vt_f16_to_f32((uint16_t)(raw[0] | raw[1] << 8));
    if (layout != VT_LAYOUT_Q4_1)
        return fabsf(d) * (layout == VT_LAYOUT_Q4_0 ? 8.0f : 128.0f);
    float m = vt_f16_to_f32((uint16_t)(raw[2] | raw[3] << 8));
    return fmaxf(fabsf(m), fabsf(m + 15.0f * d));
}

/* Scale of a column of values: as of codes. NaN when one of them is no number, which every output then is. */
static float value_scale(const float *row, int n)
{
    float most = 0.0f;
    for (int i = 0; i < n; i++) {
        if (!isfinite(row[i]))
            return NAN;
        most = fmaxf(most, fabsf(row[i]));
    }
    return most / (float)VT_COLUMN_MAX >= FLT_MIN ? most / (float)VT_COLUMN_MAX : 1.0f;
}

/* Scale of a column of codes; 1 for zeros, and a strip's columns behind n_out get 1 as well. */
static float column_scale(enum vt_layout layout, const unsigned char *raw, int n_blocks, size_t raw_bytes)
{
    float most = 0.0f;
    for (int b = 0; b < n_blocks; b++)
        most = fmaxf(most, block_max(layout, raw + (size_t)b * raw_bytes));
    return most > 0.0f ? most / (float)VT_COLUMN_MAX : 1.0f;
}

vt_status vt_matrix_pack(const struct vt_tensor *t, enum vt_layout layout, void *memory, struct vt_matrix *out,
                         vt_err *err)
{
    struct vt_matrix w = {layout, (int)t->shape[0], (int)t->shape[1], memory};
    bool codes = vt_has_codes(layout);
    if (t->n_dims != 2 || (codes && (t->shape[1] % VT_BLOCK || layout != vt_layout_of(VT_LM_FAST, t->dtype))))
        return vt_fail(err, VT_EINVAL, "packing the tensor %s (%s): its type or shape does not fit the layout.",
                       t->name, vt_dtype_name(t->dtype));
    memset(memory, 0, vt_matrix_bytes(layout, w.n_out, w.n_in));
    float *row = vt_alloc_array((size_t)w.n_in, sizeof(float));
    if (!row)
        return vt_fail(err, VT_ENOMEM, "packing the tensor %s: no memory for a row.", t->name);
    size_t raw_bytes = layout == VT_LAYOUT_Q8_0 ? 34 : layout == VT_LAYOUT_Q4_1 ? 20 : 18;
    int n_columns = vt_round_up(w.n_out, VT_STRIP);
    float *scales = (float *)memory + vt_matrix_bytes(layout, w.n_out, w.n_in) / sizeof(float) - n_columns;
    for (int r = w.n_out; vt_has_scales(layout) && r < n_columns; r++)
        scales[r] = 1.0f;
    for (int r = 0; r < w.n_out; r++) {
        const unsigned char *raw = codes ? vt_tensor_raw_row(t, r) : NULL;
        if (codes)
            scales[r] = column_scale(layout, raw, w.n_in / VT_BLOCK, raw_bytes);
        else
            vt_tensor_row(t, r, row);
        const float scale = layout == VT_LAYOUT_I16 ? scales[r] = value_scale(row, w.n_in) : 1.0f;
        for (int b = 0; b * VT_BLOCK < w.n_in; b++) {
            unsigned char *block = block_at(&w, memory, r, b);
            if (codes)
                put_codes(layout, block, r % VT_STRIP, raw + (size_t)b * raw_bytes);
            for (int k = 0; !codes && k < VT_BLOCK && b * VT_BLOCK + k < w.n_in; k++)
                put_value(layout, block, r % VT_STRIP, k, row[b * VT_BLOCK + k], scale);
        }
    }
    free(row);
    *out = w;
    return VT_OK;
}

vt_status vt_matrix_pack_transposed(const struct vt_tensor *t, enum vt_layout layout, int row0, int row1, void *memory,
                                    struct vt_matrix *out, vt_err *err)
{
    struct vt_matrix w = {layout, (int)t->shape[1], row1 - row0, memory};
    if (t->n_dims != 2 || row0 < 0 || row1 > t->shape[0] || row0 >= row1 ||
        (layout != VT_LAYOUT_F32 && layout != VT_LAYOUT_BF16))
        return vt_fail(err, VT_EINVAL, "packing the transpose of %s: bad rows %d to %d or layout.", t->name, row0,
                       row1);
    memset(memory, 0, vt_matrix_bytes(layout, w.n_out, w.n_in));
    float *row = vt_alloc_array((size_t)w.n_out, sizeof(float));
    if (!row)
        return vt_fail(err, VT_ENOMEM, "packing the transpose of %s: no memory for a row.", t->name);
    for (int r = row0; r < row1; r++) {
        vt_tensor_row(t, r, row);
        int k = r - row0;
        for (int c = 0; c < w.n_out; c++)
            put_value(layout, block_at(&w, memory, c, k / VT_BLOCK), c % VT_STRIP, k % VT_BLOCK, row[c], 1.0f);
    }
    free(row);
    *out = w;
    return VT_OK;
}

void vt_matrix_pack_f32(enum vt_layout layout, int n_out, int n_in, const float *src, size_t so, size_t si,
                        void *memory, struct vt_matrix *out)
{
    struct vt_matrix w = {layout, n_out, n_in, memory};
    memset(memory, 0, vt_matrix_bytes(layout, n_out, n_in));
    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < n_in; i++)
            put_value(layout, block_at(&w, memory, o, i / VT_BLOCK), o % VT_STRIP, i % VT_BLOCK,
                      src[(size_t)o * so + (size_t)i * si], 1.0f);
    *out = w;
}

void vt_matrix_pack_digits(enum vt_digits side, int n_out, int n_in, const float *src, size_t so, size_t si,
                           void *memory, struct vt_matrix *out)
{
    const bool is_out = side == VT_DIGITS_OUT;
    struct vt_matrix w = {VT_LAYOUT_BF16, is_out ? 2 * n_out : n_out, is_out ? n_in : 3 * n_in, memory};
    memset(memory, 0, vt_matrix_bytes(w.layout, w.n_out, w.n_in));
    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < n_in; i++) {
            const float x = src[(size_t)o * so + (size_t)i * si], high = vt_bf16_to_f32(vt_f32_to_bf16(x));
            const float digit[3] = {high, is_out ? x - high : high, x - high};
            for (int k = 0; k < (is_out ? 2 : 3); k++) {
                const int row = is_out ? k * n_out + o : o, at = is_out ? i : k * n_in + i;
                put_value(w.layout, block_at(&w, memory, row, at / VT_BLOCK), row % VT_STRIP, at % VT_BLOCK, digit[k],
                          1.0f);
            }
        }
    *out = w;
}
