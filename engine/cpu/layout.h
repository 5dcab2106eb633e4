/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.h: how a vt_matrix lies in memory (written by pack.c, read by the kernels; one layout for all instruction
 * sets). The matrix is cut into strips of 32 output columns and each strip into blocks of 32 along K; strips and
 * blocks are padded with zeros and follow each other, so a strip is one stream.
 *
 * A block holds two halves of 16 columns, for use as 32-bit lanes (one lane per column) or as AMX / vdpbf16ps pairs:
 *   F32    [32 k][32 columns] fp32.
 *   BF16   [16 pairs of k][32 columns][2]: 4096 / 2 bytes; a half's pair row is 64 bytes.
 *   I16    the same with 16-bit integers.
 *   Q4_0, Q4_1  per half 256 bytes: 32-bit lane (g, column), g = 0..3, holds 8 codes. Its low 16 bits belong to even
 *          k, its high 16 bits to odd k; nibble i of either is k pair 4 g + i. Then 32 d (fp16), and for Q4_1 32 m.
 *   Q8_0   per half 512 bytes: lane (g, column), g = 0..7; byte i of either half of the lane is k pair 2 g + i. Then d.
 * After the strips of codes and of integers come the scales of all columns, fp32: a column's largest weight (of codes:
 * by their range) is VT_COLUMN_MAX of them, so that the weights fit 16-bit integers (digits_amx.c).
 */
#ifndef VT_CPU_LAYOUT_H
#define VT_CPU_LAYOUT_H

#include "cpu/kernels.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

enum { VT_BLOCK = 32, VT_STRIP = 32, VT_CODES4 = 256, VT_CODES8 = 512, VT_COLUMN_MAX = 30500 };

static inline int vt_round_up(int n, int step)
{
    return (n + step - 1) / step * step;
}

static inline size_t vt_block_bytes(enum vt_layout layout)
{
    switch (layout) {
    case VT_LAYOUT_F32:
        return VT_BLOCK * VT_STRIP * 4;
    case VT_LAYOUT_BF16:
    case VT_LAYOUT_I16:
        return VT_BLOCK * VT_STRIP * 2;
    case VT_LAYOUT_Q4_0:
        return 2 * VT_CODES4 + 2 * VT_STRIP;
    case VT_LAYOUT_Q4_1:
        return 2 * VT_CODES4 + 4 * VT_STRIP;
    case VT_LAYOUT_Q8_0:
        return 2 * VT_CODES8 + 2 * VT_STRIP;
    }
    return 0;
}

static inline const unsigned char *vt_strip_block(const struct vt_matrix *w, int strip, int block)
{
    size_t n_blocks = (size_t)(vt_round_up(w->n_in, VT_BLOCK) / VT_BLOCK);
    return (const unsigned char *)w->data + ((size_t)strip * n_blocks + (size_t)block) * vt_block_bytes(w->layout);
}

static inline bool vt_has_codes(enum vt_layout layout)
{
    return layout == VT_LAYOUT_Q4_0 || layout == VT_LAYOUT_Q4_1 || layout == VT_LAYOUT_Q8_0;
}

static inline bool vt_has_scales(enum vt_layout layout)
{
    return vt_has_codes(layout) || layout == VT_LAYOUT_I16;
}

/* Of a matrix that has them: [n_out rounded up to VT_STRIP]. */
static inline const float *vt_column_scales(const struct vt_matrix *w)
{
    int n_strips = vt_round_up(w->n_out, VT_STRIP) / VT_STRIP;
    return (const float *)(const void *)vt_strip_block(w, n_strips, 0);
}

/* 32 fp16 scales to fp32 (exact). */
static inline void vt_half_load(const unsigned char *p, float out[VT_STRIP])
{
#if defined(__F16C__)
    for (int i = 0; i < VT_STRIP; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i))));
#else
    for (int i = 0; i < VT_STRIP; i++)
        out[i] = vt_f16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
#endif
}

#endif
